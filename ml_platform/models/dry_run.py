"""A task of a user's own, tried on some labels: what an evaluation or a service would stumble over is told before.

``validate`` tells each line; :class:`ml_platform.testing.task.TaskContract` asks the same and more.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import named, shown
from ml_platform.foundation.raised import raised
from ml_platform.models.checked import answered, measured
from ml_platform.models.task import DRAWN, Task

if TYPE_CHECKING:
    import numpy as np

#: Rows that baselines are asked for.
ROWS = 7


#: What is tried of a task.
TRIED = (
    "compared", "measure", "losses", "cost", "comparable", "baselines", "counts", "by_group", "calibrated", "curves",
    "answer", "scores",
)  # fmt: skip


def broken(task: Task, y: "np.ndarray") -> Iterator[str]:
    """A line for each method that fails on labels ``y``, (rows,), and predictions that are made up for them."""
    p = _predictions(task, y)
    yield from filter(None, (mistake(task, name, y, p) for name in TRIED))


def mistake(task: Task, name: str, y: "np.ndarray", p: "np.ndarray") -> str:
    """What is wrong with one of :data:`TRIED` on labels, (rows,), and predictions; empty where nothing is."""
    import polars as pl

    from ml_platform.models.outputs import series

    groups = pl.DataFrame({"label": y}).with_columns(series("prediction", p))
    tried: dict[str, Callable[[], str]] = {
        "compared": lambda: _compared(task),
        "measure": lambda: _looked_at(measured, task, y, p),
        "losses": lambda: _losses(task, y, p),
        "cost": lambda: _number(task.cost(y, p)),
        "comparable": lambda: _names(task.comparable(y, task.compared), task.compared),
        "baselines": lambda: _baselines(task.baselines(y, ROWS), p),
        "counts": lambda: _expressions(task.counts(pl.col("label")), groups),
        "by_group": lambda: _expressions(task.by_group(pl.col("label"), pl.col("prediction")), groups),
        "calibrated": lambda: _calibrated(task.calibrated(y, p), y),
        "curves": lambda: _curves(task.curves(y, p)),
        "answer": lambda: _looked_at(answered, task, p),
        "scores": lambda: _array(task.scores(p), (len(p),)),
    }
    try:
        wrong = tried[name]()
    except PlatformError as error:
        return str(error)
    except Exception as error:
        return f"task {named(task)}: {name} raises {raised(error)}"
    return wrong and f"task {named(task)}: {name} {'names' if name == 'compared' else 'gave'} {wrong}"


def paired_metrics(task: Task) -> tuple[str, ...]:
    """Metrics of a task by which two models can be compared row by row: those that have an interval."""
    y = _labels(task)
    return (*DRAWN.get(task.output, ()), *task.losses(y, _predictions(task, y)))


def trivial_models(task: Task) -> tuple[str, ...]:
    """Names of the trivial models of a task, as it gives them for labels that are made up."""
    return tuple(task.baselines(_labels(task), ROWS))


def _labels(task: Task) -> "np.ndarray":
    """Every class, or values that differ."""
    import numpy as np

    return np.arange(12.0) if task.output == "value" else np.arange(12.0) % max(2, len(task.classes))


def _predictions(task: Task, y: "np.ndarray") -> "np.ndarray":
    """float32, as a predictor gives them: neither right nor all alike."""
    import numpy as np

    share = np.linspace(0.1, 0.9, len(y))
    if task.output == "probability":
        return share.astype(np.float32)
    if task.output == "classes":
        weights = 1 + np.add.outer(np.arange(len(y)), np.arange(len(task.classes))) % max(2, len(task.classes))
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return (y + (share - 0.5) * (1 + y.std())).astype(np.float32)


def _looked_at(checked: Callable[..., object], *given: Any) -> str:
    """What everybody asks for through a function that says itself what is wrong."""
    checked(*given)
    return ""


def _array(found: Any, shape: tuple[int, ...]) -> str:
    import numpy as np

    right = isinstance(found, np.ndarray) and found.shape == shape and np.isfinite(found.astype(float)).all()
    return "" if right else f"{shown(found)}; expected finite numbers of shape {shape}"


def _number(found: Any) -> str:
    import math

    right = found is None or (hasattr(found, "__float__") and math.isfinite(float(found)))
    return "" if right else f"{shown(found)}; expected a finite number, or None where it is undefined"


def _names(found: Any, known: tuple[str, ...]) -> str:
    right = isinstance(found, tuple) and set(found) <= set(known)
    return "" if right else f"{shown(found)}; expected some of {', '.join(known)}, as a tuple"


def _compared(task: Task) -> str:
    missing = [name for name in task.compared if name not in task.better]
    return f"{', '.join(missing)}; say in `better` which side is the better one" if missing else ""


def _losses(task: Task, y: "np.ndarray", p: "np.ndarray") -> str:
    found: Any = task.losses(y, p)
    if not isinstance(found, Mapping) or not all(map(callable, found.values())):
        return f"{shown(found)}; expected a function by metric"
    if unknown := sorted(set(found) - set(task.measured)):
        return f"{', '.join(unknown)}, not among those in `measured` ({', '.join(task.measured)})"
    if lacking := [name for name in task.compared if name not in (*DRAWN.get(task.output, ()), *found)]:
        return f"nothing for {', '.join(lacking)}, which `compared` names; expected the value of each row"
    wrong = {name: _array(values(), (len(y),)) for name, values in found.items()}
    return next((f"for {name} {said}" for name, said in wrong.items() if said), "")


def _baselines(found: Any, p: "np.ndarray") -> str:
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        return f"{shown(found)}; expected predictions by name"
    wrong = {name: _array(one, (ROWS, *p.shape[1:])) for name, one in found.items()}
    return next((f"for {name} {said}" for name, said in wrong.items() if said), "")


def _expressions(found: Any, groups: Any) -> str:
    import polars as pl

    if not isinstance(found, Mapping) or not all(isinstance(one, pl.Expr) for one in found.values()):
        return f"{shown(found)}; expected polars expressions by name"
    height = groups.select(**found).height if found else 1
    return "" if height == 1 else f"{height} values for a group; expected one"


def _calibrated(found: Any, y: "np.ndarray") -> str:
    if not isinstance(found, tuple) or len(found) != 2:
        return f"{shown(found)}; expected actual and predicted values"
    return next(filter(None, (_array(one, y.shape) for one in found)), "")


def _curves(found: Any) -> str:
    try:
        right = isinstance(found, dict) and json.loads(json.dumps(found, allow_nan=False)) == found
        right = right and all(len(point) == 2 for curve in found.values() for point in curve)
    except (TypeError, ValueError):
        right = False
    return "" if right else f"{shown(found)}; expected lists of pairs of finite numbers, by name"
