"""Gates that can hardly fail: what is certain of a threshold from what its metric is, without any data; and texts
for people that nobody wrote.

A warning and no mistake. Only what needs no guess: the value of a model that knows nothing, the end of a scale.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.model import ModelSpec
from ml_platform.evaluation.options import GROUP_ROWS
from ml_platform.gates.gate import KINDS, Gate, kind_of
from ml_platform.gates.stages import GATED
from ml_platform.models.task import chance_of

#: Metrics of which 1 is the largest value, of a model that is always right.
_PERFECT = 1.0
_BOUNDED = {"auc", "pr_auc", "brier_skill", "precision", "recall", "f1", "accuracy", "f1_macro", "auc_macro", "r2"}
#: An alarm this close to a perfect model hears nothing else.
_NEARLY = 0.01
#: Kinds whose value is a share, never above 1.
_SHARES = {
    "missing",
    "rules",
    "duplicates",
    "counts",
    "near_duplicates",
    "referential",
    "single_feature",
    "monotonic",
    "correction",
}


#: On which side of a threshold a value has to lie.
_SIDES = {"min": "above", "max": "below"}

#: Texts of the scaffolds, which ask for one of one's own.
_ASKS = re.compile(r"Say (in one sentence what|what decisions it is for|where it must not be used)")


def untouched_texts(spec: Declaration) -> Iterator[tuple[str, str]]:
    """Key and reason of each text of a declaration that is still the scaffold's."""
    for key in ("description", "purpose", "limits"):
        if _ASKS.match(text := str(getattr(spec, key, ""))):
            yield key, f"is the scaffold's {text!r}, and would be shown so to everybody; write your own"


def impossible(spec: ModelSpec, gate: Gate) -> tuple[str, str] | None:
    """Key and reason of a threshold that no model can keep, or that alarms on the wrong side of its metric."""
    kind, metric = kind_of(gate.gate).name, gate.metric or ""
    better = spec.kind().better.get(metric)
    if kind == "leak_alarm" and better is not None:
        wrong, right = ("min", "max") if better else ("max", "min")
        if getattr(gate, right) is None and getattr(gate, wrong) is not None:
            side = "above" if better else "below"
            return wrong, f"{metric} that is too good lies {side} a limit: give {right}"
    decides = spec.kind().output == "classes" or spec.decision_threshold is not None
    if kind == "shadow" and metric == "decisions" and not decides:
        return "metric", "no decision is made without `decision_threshold`; give it, or compare outputs"
    if kind == "agreement":
        right = "min" if metric == "correlation" else "max"
        if getattr(gate, right) is None:
            return "metric", f"the {metric} of a refit has to be {_SIDES[right]} a limit: give {right}"
    if kind in ("performance", "confidence") and metric in _BOUNDED and gate.min is not None and gate.min > _PERFECT:
        guess = f"; did you mean {gate.min / 100:g}?" if gate.min <= 100 else ""
        return "min", f"min {gate.min:g} can never be kept: {metric} is at most 1{guess}"
    if kind in ("performance", "confidence") and better is False and gate.max is not None and gate.max < 0:
        return "max", f"max {gate.max:g} can never be kept: {metric} is never below 0"
    return None


def weakness(spec: Declaration, gate: Gate) -> str:
    """Why a gate of a declaration can hardly fail; empty where that is not certain."""
    found = _weak(spec, gate)
    return found[1] if found else ""


def weak_gates(spec: Declaration) -> Iterator[tuple[str, str]]:
    """Key and reason of each gate of a declaration that can hardly fail."""
    for index, gate in enumerate(spec.gates):
        if found := _weak(spec, gate):
            key, reason = found
            yield f"gates.{index}.{key}", f"gate {gate.name}: {reason}"
    for stage in GATED:
        gates = spec.gates_of(stage)
        if gates and not any(gate.blocking for gate in gates):
            yield "gates", f"no gate of {stage} blocks: each has severity warn"


def _weak(spec: Declaration, gate: Gate) -> tuple[str, str] | None:
    kind, metric = kind_of(gate.gate).name, gate.metric or ""
    if ":" in gate.gate:
        alike = kind in KINDS and "name" not in gate.model_fields_set
        return (
            ("gate", f"{gate.gate} has the name of a kind of the platform; give the gate a `name`") if alike else None
        )
    if kind in _SHARES and gate.max is not None and gate.max >= 1:
        return "max", f"max {gate.max:g} never fails: what is measured is at most 1"
    if not isinstance(spec, ModelSpec):
        return None
    if kind in ("slices", "fairness") and 0 < gate.min_support < GROUP_ROWS:
        return "min_support", (
            f"min_support {gate.min_support} lowers nothing: groups are measured from {GROUP_ROWS} rows on, and a gate "
            "can ask for more"
        )
    nothing = _nothing(spec, metric)
    better = _better(spec, metric) if kind in ("performance", "confidence") else None
    if better is not None:
        right, wrong = ("min", "max") if better else ("max", "min")
        bound = getattr(gate, wrong)
        if bound is not None and getattr(gate, right) is None:
            side = "more" if better else "less"
            passes = f"{wrong} {bound:g} lets bad models pass and refuses good ones"
            return wrong, f"{passes} ({side} {metric} is better): give {right}"
    if kind in ("performance", "confidence") and nothing is not None:
        better = spec.kind().better.get(metric, True)
        key, bound = ("min", gate.min) if better else ("max", gate.max)
        if bound is not None and (bound <= nothing if better else bound >= nothing):
            return key, f"{key} {bound:g} lets a model pass that knows nothing (its {metric} is {nothing:.4g})"
    if kind == "agreement" and gate.max is not None and gate.max >= 1:
        return "max", f"max {gate.max:g} lets a refit pass that says the same of every row"
    if kind == "agreement" and gate.min is not None and gate.min <= 0:
        return "min", f"min {gate.min:g} lets a refit pass that has nothing to do with the judged model"
    if kind == "leak_alarm" and metric in _BOUNDED and gate.max is not None and gate.max >= _PERFECT - _NEARLY:
        return "max", f"max {gate.max:g} alarms only at a model that is nearly always right ({metric} 1)"
    if metric in _BOUNDED and nothing is not None:
        widest = _PERFECT - nothing
        if kind == "champion" and gate.min is not None and gate.min <= -widest:
            return "min", f"min {gate.min:g} lets a model pass that knows nothing, beside a perfect champion"
        if kind == "jump" and gate.max is not None and gate.max >= widest:
            return "max", f"max {gate.max:g} is the way from a model that knows nothing to a perfect one"
    return None


def _better(spec: ModelSpec, metric: str) -> bool | None:
    # A task that cannot be loaded or asked is a mistake, and told as one.
    with suppress(Exception):
        return spec.kind().better.get(metric)
    return None


def _nothing(spec: ModelSpec, metric: str) -> float | None:
    with suppress(Exception):
        return chance_of(spec.kind()).get(metric)
    return None
