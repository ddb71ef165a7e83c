"""What live answers are compared with: a model that is trained anew before each month, and one that stays as it was.

Both know every label of the months before at once, which nothing can that has to wait for batches to arrive and to
pass. They are measured with a history of each day, as it is declared, and with those that users were answered from:
days go by so fast here that outcomes arrive for several of them together.
"""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.models.predictor import Predictor


def features_of(context: ModelContext, months: "Mapping[str, pl.DataFrame]") -> "dict[str, pl.DataFrame]":
    """Features of raw months, with labels; each row's history is that of all these months, as old as declared."""
    from ml_platform.features.build import build
    from ml_platform.features.daily import daily
    from ml_platform.features.history import History

    function = context.function
    tables = [daily(function, raw) for raw in months.values()]
    history = History.from_tables(function, tables, context.feature_set.history_lag)
    return {name: build(function, raw, history) for name, raw in months.items()}


def features_at(
    context: ModelContext, months: "Mapping[str, pl.DataFrame]", month: str, looks: Sequence[date]
) -> "pl.DataFrame":
    """Features of a month, as :func:`features_of`, but that rows know no outcome from the last of these days on."""
    import polars as pl

    from ml_platform.features.build import build
    from ml_platform.features.daily import daily
    from ml_platform.features.history import History

    function, raw, time = context.function, months[month], context.dataset.time
    known = pl.concat([daily(function, one) for name, one in months.items() if name <= month])
    parts = []
    for look, after in zip(looks, [*looks[1:], date.max], strict=True):
        history = History.from_tables(function, [known.filter(pl.col("day") < look)], context.feature_set.history_lag)
        rows = raw.filter(pl.col(time) >= look, pl.col(time) < after)
        parts.append(build(function, rows, history))
    return pl.concat(parts)


def trained(context: ModelContext, frames: "Sequence[pl.DataFrame]", threads: int = 0) -> "Predictor":
    """The declared recipe, on these features."""
    from ml_platform.models.predictor import load_predictor
    from ml_platform.training.trainer import trainer_of

    model = context.model
    with tempfile.TemporaryDirectory(prefix="comparison-") as folder:
        made = trainer_of(model.trainer).train(
            lambda: iter(frames), context.names, model.target, model.kind(), model.parameters, Path(folder), threads
        )
        return load_predictor(made.format, made.file, types=made.types)


def metric(context: ModelContext, predictor: "Predictor", frame: "pl.DataFrame") -> float:
    """The first metric by which models of the task are compared (AUC), on features with labels."""
    from ml_platform.features.build import matrix

    task = context.model.kind()
    labelled, y = task.labels(frame, context.model.target)
    return task.measure(y, predictor.predict(matrix(labelled, context.names)))[task.compared[0]]
