"""The gates of a new model: halfway between the best trivial model and a quick fit, what was seen beside each."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ml_platform.creating.declarations_text import gate_line
from ml_platform.creating.quick import QuickFit
from ml_platform.proving.suggest import Suggestion

#: Task to the metric of performance, and to that of the gain over a trivial model.
_METRICS = {"probability": ("auc", "brier"), "classes": ("accuracy", "log_loss"), "value": ("r2", "mae")}
#: A fit this near to perfect leaves no room for an alarm above it.
_PERFECT = 0.97
#: From here on an alarm would never be raised.
_ALARMING = 0.995
#: Standard errors that an honest model of the same recipe may lie beyond what was seen.
ERRORS = 3.0
_WHY = "with three standard errors"
_TO_PERFECT = "halfway from the best, the first model's too, to perfect"
#: Least share of the way from a trivial model to what was seen.
_NEAREST = 0.25


def gates_of(fit: QuickFit, first: QuickFit, *, timed: bool) -> list[tuple[dict[str, Any], str]]:
    """Each gate with a comment on its threshold.

    ``fit`` says what is to be expected of the recipe, ``first`` is the first model on the rows that it is to be judged
    by. The worse of both counts: a threshold lies halfway from it to a trivial model, and that of the gain, which every
    one of those lacks, :data:`ERRORS` standard errors from it where that is further.
    """
    metric, loss = _METRICS[fit.task.output]
    if metric == "accuracy" and fit.gain(metric) < 0.01:
        # Where one class is most of the rows, being right says nothing.
        metric = loss
    better = fit.task.better[metric]
    compared = "auc" if metric == "auc" else loss
    gain, margin = min(fit.gain(loss), first.gain(loss)), champion_margin(fit, compared)
    gates: list[tuple[dict[str, Any], str]] = [({"gate": "disjoint"}, "")]
    if timed:
        gates.append(({"gate": "time_order"}, ""))
    sign = 1 if better else -1
    worse = min(fit.metrics[metric], first.metrics[metric], key=lambda value: sign * value)
    trivial = _trivial(fit, metric)
    # Without room for the error on both sides, halfway is as far from an honest model as from one that knows nothing.
    bound = between((worse + trivial) / 2, trivial)
    seen = f"{worse:.3g} seen, {trivial:.3g} trivial"
    gates.append(({"gate": "performance", "metric": metric, "min" if better else "max": bound}, seen))
    if gain > 0:
        least = threshold(gain, 0.0, fit.spread[f"gain {loss}"])
        gates.append(({"gate": "baseline", "metric": loss, "against": fit.against, "min": least}, f"{gain:.3g} seen"))
    gates.append(
        (
            {"gate": "champion", "metric": compared, "mode": "non_inferior", "min": -rounded(margin)},
            "two standard errors of the metric on a holdout of this size",
        )
    )
    best = max(fit.metrics[metric], first.metrics[metric])
    if better and (top := _alarm(best, fit.spread[metric])):
        gates.append(({"gate": "leak_alarm", "metric": metric, "max": top}, "halfway from what was seen to perfect"))
    if fit.task.output == "probability":
        error = max(fit.calibration, first.calibration)
        top = max(error, fit.expected_calibration) + ERRORS * fit.spread["calibration"] + 0.02
        gates.append(({"gate": "calibration", "max": -rounded_down(-top)}, f"{error:.3g} seen"))
    gates += [
        ({"gate": "servability"}, ""),
        ({"gate": "skew", "max": 0}, ""),
        ({"gate": "bad_input"}, ""),
        ({"gate": "health"}, ""),
    ]
    return gates


def threshold(worst: float, trivial: float, error: float, *, nearest: float = _NEAREST, least: float = 0.5) -> float:
    """A threshold between what was seen at worst and a trivial model, which it refuses.

    :data:`ERRORS` standard errors from what was seen, or the share ``least`` of the way, whichever is further; but the
    share ``nearest`` of the way from the trivial model at least: of a weak signal on few rows nobody can ask for more.
    """
    way = abs(worst - trivial)
    left = max(way - max(least * way, ERRORS * error), nearest * way)
    return between(trivial + math.copysign(left, worst - trivial), trivial)


def between(value: float, trivial: float) -> float:
    """As few digits as keep a value on its side of another, from two on; rounded towards that one."""
    if value == trivial:
        return value
    sign = 1.0 if value > trivial else -1.0
    for digits in range(2, 12):
        step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 1.0
        found = float(f"{sign * math.floor(round(sign * value / step, 6)) * step:.10g}")
        if sign * found > sign * trivial:
            return found
    return value


def feature_gates(alone: float, label: str) -> list[str]:
    """The gates of the features; ``alone`` is the AUC of the best single one for the label, 0 where it has none."""
    lines = [gate_line({"gate": name}) for name in ("ranges", "leakage", "parity")]
    if 0 < alone < _PERFECT:
        gate = {"gate": "single_feature", "columns": [label], "max": rounded(alone + (1 - alone) / 2)}
        lines.append(gate_line(gate, f"{alone:.3g} seen; an outcome among the features would say more"))
    return lines


def champion_margin(fit: QuickFit, metric: str) -> float:
    """What a candidate may lose: two standard errors on a holdout of the size that there will be."""
    return max(0.005 * abs(fit.metrics[metric]), 2 * fit.spread[metric])


def _alarm(best: float, error: float) -> float:
    """From where on a model is too good, given the best that was seen; 0 where that leaves no room for an alarm."""
    top = max(best + (1 - best) / 2, best + ERRORS * error)
    return rounded(top) if best < _PERFECT and top < _ALARMING else 0.0


def not_nearer(one: Suggestion, fit: QuickFit) -> Suggestion | None:
    """A proposal no nearer to the worst value seen than :data:`ERRORS` standard errors: a few windows lie together by
    chance, and none of them has learnt from as many rows as the first model, which ``fit`` is.

    What windows and that model showed keeps the threshold. None where no alarm is left above the best of them.
    """
    gate, metric, seen = one.proposed, one.proposed.metric or "", one.before.values()
    if gate.gate == "leak_alarm":
        top = _alarm(max(*seen, fit.metrics[metric]), fit.spread[metric]) if seen else gate.max
        return replace(one, proposed=gate.model_copy(update={"max": top}), reason=_TO_PERFECT) if top else None
    if gate.gate not in ("performance", "baseline", "calibration") or not seen:
        return one
    if gate.gate == "calibration":
        worst = max(*seen, fit.calibration, fit.expected_calibration)
        bound = -rounded_down(-(worst + ERRORS * fit.spread["calibration"]))
    else:
        gain = gate.gate == "baseline"
        own, trivial = (fit.gain(metric), 0.0) if gain else (fit.metrics[metric], _trivial(fit, metric))
        worst = min(*seen, own) if gate.min is not None else max(*seen, own)
        if (worst - trivial) * (own - trivial) <= 0:
            return one  # a window that was no better than a trivial model says nothing of where to draw a line
        error = fit.spread[f"gain {metric}" if gain else metric]
        bound = threshold(worst, trivial, error, nearest=_NEAREST if gain else 0.5, least=0)
    if gate.min is not None and bound < gate.min:
        return replace(one, proposed=gate.model_copy(update={"min": bound}), reason=_WHY)
    if gate.max is not None and bound > gate.max:
        return replace(one, proposed=gate.model_copy(update={"max": bound}), reason=_WHY)
    return one


def no_better(found: Sequence[Suggestion]) -> bool:
    """Whether in each window of the past the model was no better than a trivial one."""
    seen = [value for one in found if one.declared.gate == "baseline" for value in one.before.values()]
    return bool(seen) and max(seen) <= 0


def rounded_down(value: float) -> float:
    """Two significant digits, downwards."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{math.floor(value / step) * step:.6g}")


def rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def _trivial(fit: QuickFit, metric: str) -> float:
    """The metric of a model that knows nothing."""
    return {"auc": 0.5, "r2": 0.0}.get(metric, fit.trivially.get(metric, 0.0))
