"""The gates of a new model: halfway between the best trivial model and a quick fit, what was seen beside each."""

import math
from dataclasses import replace
from typing import Any

from ml_platform.creating.declarations_text import gate_line
from ml_platform.creating.quick import QuickFit
from ml_platform.proving.suggest import Suggestion

#: Task to the metric of performance, and to that of the gain over a trivial model.
_METRICS = {"probability": ("auc", "brier"), "classes": ("accuracy", "log_loss"), "value": ("r2", "mae")}
#: A fit this near to perfect leaves no room for an alarm above it.
_PERFECT = 0.97


def gates_of(fit: QuickFit, *, timed: bool) -> list[tuple[dict[str, Any], str]]:
    """Each gate with a comment on its threshold."""
    metric, loss = _METRICS[fit.task.output]
    if metric == "accuracy" and fit.gain(metric) < 0.01:
        # Where one class is most of the rows, being right says nothing.
        metric = loss
    observed, trivial = fit.metrics[metric], _trivial(fit, metric)
    better = fit.task.better[metric]
    compared = "auc" if metric == "auc" else loss
    gain, margin = fit.gain(loss), champion_margin(fit, compared)
    gates: list[tuple[dict[str, Any], str]] = [({"gate": "disjoint"}, "")]
    if timed:
        gates.append(({"gate": "time_order"}, ""))
    halfway = {"min" if better else "max": rounded((observed + trivial) / 2)}
    low = f"{observed:.3g} seen, {trivial:.3g} trivial"
    gates.append(({"gate": "performance", "metric": metric, **halfway}, low))
    if gain > 0:
        line = {"gate": "baseline", "metric": loss, "against": fit.against, "min": rounded(gain / 2)}
        gates.append((line, f"{gain:.3g} seen"))
    gates.append(
        (
            {"gate": "champion", "metric": compared, "mode": "non_inferior", "min": -rounded(margin)},
            "two standard errors of the metric on a holdout of this size",
        )
    )
    if better and observed < _PERFECT:
        top = rounded(observed + (1 - observed) / 2)
        gates.append(({"gate": "leak_alarm", "metric": metric, "max": top}, "halfway from what was seen to perfect"))
    if fit.task.output == "probability":
        error, top = fit.calibration, fit.calibration + 2 * fit.spread["calibration"] + 0.02
        gates.append(({"gate": "calibration", "max": rounded(top)}, f"{error:.3g} seen"))
    gates += [
        ({"gate": "servability"}, ""),
        ({"gate": "skew", "max": 0}, ""),
        ({"gate": "bad_input"}, ""),
        ({"gate": "health"}, ""),
    ]
    return gates


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


def not_nearer(one: Suggestion, fit: QuickFit) -> Suggestion:
    """A proposal no nearer to the worst value seen than two standard errors: a few windows lie together by chance."""
    gate = one.proposed
    names = {"performance": gate.metric, "baseline": f"gain {gate.metric}", "calibration": "calibration"}
    slack = 2 * fit.spread.get(names.get(gate.gate) or "", 0.0)
    if not slack or not one.before:
        return one
    changed = {}
    low, high = min(one.before.values()) - slack, max(one.before.values()) + slack
    if gate.min is not None and low < gate.min:
        changed["min"] = rounded_down(low)
    if gate.max is not None and high > gate.max:
        changed["max"] = -rounded_down(-high)
    # What a model that knows nothing would pass is no threshold.
    trivial = fit.trivially.get(gate.metric or "", 0.0) if gate.gate == "performance" and gate.metric != "r2" else 0.0
    if "min" in changed and changed["min"] <= trivial:
        return one
    if not changed:
        return one
    return replace(one, proposed=gate.model_copy(update=changed), reason="two standard errors beyond")


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
