"""What became of gates: every kind of change is named, with its direction."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from ml_platform.gates.changes import Change, changes, written
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Measurement, judge, kind

AUC = {"gate": "performance", "metric": "auc", "min": 0.7}
MISSING = {"gate": "missing", "columns": ["a", "b"], "max": 0.1}
SLICES = {"gate": "slices", "metric": "auc", "max": 0.1, "columns": ["a", "b"], "min_support": 500}
CHAMPION = {"gate": "champion", "metric": "auc", "min": -0.01, "mode": "non_inferior"}
DISTRIBUTION = {"gate": "distribution", "metric": "psi", "columns": ["a"], "by": ["c"], "max": 0.2}
MONOTONIC = {"gate": "monotonic", "increasing": ["a", "b"], "max": 0.1}
LABELS = {"gate": "labels", "metric": "known", "columns": ["a"], "every": "day", "min": 0.5}


def kept(*gates: dict[str, Any]) -> list[dict[str, Any]]:
    """The gates as they are kept with a version, in JSON."""
    return json.loads(json.dumps([written(Gate.model_validate(gate)) for gate in gates]))


def between(before: dict[str, Any], **changed: Any) -> list[Change]:
    return changes("churn/evaluation", kept(before), kept({**before, **changed}))


@pytest.mark.parametrize(
    ("gate", "changed", "direction"),
    [
        (AUC, {"min": 0.4}, "loosened"),
        (AUC, {"min": 0.8}, "tightened"),
        (AUC, {"max": 0.9}, "tightened"),
        ({**AUC, "max": 0.9}, {"max": None}, "loosened"),
        ({**AUC, "max": 0.9}, {"max": 0.999}, "loosened"),
        ({**AUC, "max": 0.9}, {"min": None}, "loosened"),
        (AUC, {"severity": "warn"}, "loosened"),
        ({**AUC, "severity": "warn"}, {"severity": "block"}, "tightened"),
        (AUC, {"min_support": 100}, "tightened"),
        ({**AUC, "min_support": 100}, {"min_support": 10}, "loosened"),
        (SLICES, {"min_support": 5000}, "loosened"),
        (SLICES, {"min_support": 50}, "tightened"),
        (SLICES, {"columns": ["a"]}, "loosened"),
        (SLICES, {"columns": None}, "tightened"),
        ({**SLICES, "columns": None}, {"columns": ["a"]}, "loosened"),
        (MISSING, {"columns": ["a"]}, "loosened"),
        (MISSING, {"columns": ["a", "b", "c"]}, "tightened"),
        (MISSING, {"columns": ["a", "c"]}, "changed"),
        ({"gate": "constancy", "columns": ["a"]}, {"columns": ["a", "b"]}, "loosened"),
        ({"gate": "constancy"}, {"columns": ["a"]}, "loosened"),
        ({"gate": "constancy", "columns": ["a"]}, {"columns": None}, "tightened"),
        ({"gate": "dependency", "columns": ["a"], "by": ["b"], "max": 0.1}, {"by": ["b", "c"]}, "loosened"),
        ({"gate": "near_duplicates", "but_for": ["a", "b"], "max": 0.1}, {"but_for": ["a"]}, "loosened"),
        ({"gate": "near_duplicates", "columns": ["a"], "max": 0}, {"columns": ["a", "b"]}, "loosened"),
        ({"gate": "near_duplicates", "columns": ["a"], "max": 0}, {"columns": None, "but_for": ["b"]}, "changed"),
        ({"gate": "correction", "max": 0.05}, {"columns": ["a"]}, "loosened"),
        ({"gate": "correction", "max": 0.05, "columns": ["a"]}, {"columns": ["a", "b"]}, "tightened"),
        ({"gate": "coverage", "by": ["a"], "max": 0.5}, {"by": ["a", "b"]}, "changed"),
        ({**LABELS, "by": ["a"], "every": None}, {"by": ["a", "b"]}, "changed"),
        ({**DISTRIBUTION, "by": None, "metric": "share"}, {"columns": ["a", "b"]}, "changed"),
        (DISTRIBUTION, {"columns": ["a", "b"]}, "tightened"),
        (DISTRIBUTION, {"by": ["c", "d"]}, "changed"),
        ({"gate": "observation_age", "columns": ["a", "b"], "max": 5}, {"columns": ["a", "c"]}, "changed"),
        ({"gate": "counts", "by": ["a"], "columns": ["n"], "max": 0}, {"by": ["a", "b"]}, "changed"),
        (DISTRIBUTION, {"by": None}, "changed"),
        (DISTRIBUTION, {"reference": ["2024-01-01"]}, "changed"),
        (SLICES, {"against": "others"}, "changed"),
        (MONOTONIC, {"increasing": ["a"]}, "loosened"),
        (MONOTONIC, {"decreasing": ["c"]}, "tightened"),
        (LABELS, {"every": None, "by": ["z"]}, "changed"),
        (LABELS, {"above": 3}, "changed"),
        (CHAMPION, {"mode": "superior", "min": 0.001}, "tightened"),
        (CHAMPION, {"min": -0.5}, "loosened"),
        ({"gate": "latency", "rate": 50, "max": 20}, {"rate": 5}, "loosened"),
        ({**AUC, "name": "good"}, {"metric": "pr_auc"}, "changed"),
        ({**AUC, "name": "good"}, {"gate": "leak_alarm", "min": None, "max": 1}, "changed"),
    ],
)
def test_a_change_has_a_direction(gate: dict[str, Any], changed: dict[str, Any], direction: str) -> None:
    found = between(gate, **changed)
    assert direction in {one.direction for one in found}
    assert not any(one.direction in ("removed", "added") for one in found)
    assert any(one.looser for one in found) == (direction != "tightened")


def test_no_field_of_a_gate_changes_unseen() -> None:
    other: dict[str, Any] = {
        "gate": "leak_alarm", "min": 0.1, "max": 0.99, "metric": "f1", "columns": ["z"], "reference": ["z"],
        "increasing": ["z"], "decreasing": ["z"], "rate": 7.0, "every": "hour", "by": ["z"], "above": 3.0,
        "but_for": ["z"], "against": "base_rate", "mode": "superior", "severity": "warn", "min_support": 3,
        "parameters": {"q": 0.5},
    }  # fmt: skip
    assert set(other) == set(Gate.model_fields) - {"name"}
    base = kept({**AUC, "name": "good"})
    for field, value in other.items():
        (found,) = changes("a/b", base, [{**base[0], field: value}])
        assert found.key == field


class Quantile(BaseModel, extra="forbid", frozen=True):
    q: float = 0.5


@kind("quantile", "batch", "Quantile of a column", needs=("max",), parameters=Quantile)
def quantile(evidence: Any, gate: Gate) -> Measurement:
    assert isinstance(gate.parameters, Quantile)
    return Measurement(gate.parameters.q, "")


def test_parameters_of_ones_own_are_declared_defaults_too() -> None:
    own = {"gate": f"{__name__}:quantile", "max": 1}
    half, most = Gate.model_validate(own), Gate.model_validate({**own, "parameters": {"q": 0.9}})
    assert half.declaration == Gate.model_validate({**own, "parameters": {"q": 0.5}}).declaration != most.declaration
    (verdict,) = judge([most], None, subject="0" * 64, subject_name="it")
    assert verdict.observed == 0.9
    (changed,) = between(own, parameters={"q": 0.9})
    assert changed.looser and changed.text == 'changed: parameters {"q":0.5} → {"q":0.9}'


def test_removed_added_and_renamed() -> None:
    before, after = kept(AUC, MISSING), kept(AUC, CHAMPION)
    removed, added = changes("a/b", before, after)
    assert (removed.gate, removed.direction, removed.looser) == ("missing", "removed", True)
    assert "max 0.1" in removed.text
    assert (added.gate, added.direction, added.looser) == ("champion_auc", "added", False)
    assert not changes("a/b", kept(AUC), kept({**AUC, "name": "good_enough"}))
    (one,) = changes("a/b", kept(AUC), kept({**AUC, "name": "good_enough", "min": 0.4}))
    assert one.text == "loosened: min 0.7 → 0.4"
    assert one.gate == "good_enough"


def test_the_order_of_gates_and_of_names_is_no_change() -> None:
    assert not changes("a/b", kept(AUC, MISSING), kept({**MISSING, "columns": ["b", "a"]}, AUC))


def test_verdicts_of_an_earlier_release_tell_threshold_and_severity() -> None:
    def verdict(gate: dict[str, Any]) -> list[dict[str, Any]]:
        made = Gate.model_validate(gate)
        facts = {"threshold": made.threshold, "blocking": made.blocking, "declaration": made.declaration}
        return [{"name": made.name, **facts}]

    both = {**AUC, "max": 0.9}
    assert not changes("a/b", verdict(both), kept(both))
    (one,) = changes("a/b", verdict(both), kept({**both, "max": 0.999}))
    assert one.text == "loosened: max 0.9 → 0.999"
    (one,) = changes("a/b", verdict(both), kept({**both, "severity": "warn"}))
    assert (one.key, one.direction) == ("severity", "loosened")
    (one,) = changes("a/b", verdict(SLICES), kept({**SLICES, "columns": ["a"]}))
    assert one.direction == "changed"
    (one,) = changes("a/b", verdict(AUC), [])
    assert one.text == "removed (at least 0.7)"
