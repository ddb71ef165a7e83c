"""Kinds of the platform, and one as a user writes it, keep the contract of the package."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ml_platform.evaluation.latency import OneRow
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.objects import load_object
from ml_platform.gates.asked import OFFERED
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.deployment import DeploymentEvidence
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Measurement, judge, kind
from ml_platform.gates.service import ServiceEvidence
from ml_platform.testing.gate import GateContract, Given


@kind("takings", "batch", "Mean of a column", needs=("min",), requires=("columns",))
def takings(evidence: Any, gate: Gate) -> Measurement:
    assert gate.columns is not None
    values = evidence.frame[gate.columns[0]]
    return Measurement(
        values.mean(), f"the mean is {values.mean()}", support=len(values), details={"rows": len(values)}
    )


class TestOwn(GateContract):
    gate = {"gate": f"{__name__}:takings", "columns": ["amount"], "min": 3}  # noqa: RUF012

    def sound(self) -> Any:
        return SimpleNamespace(frame=pl.DataFrame({"amount": [3.0, 4.0]}))

    def broken(self) -> Any:
        return SimpleNamespace(frame=pl.DataFrame({"amount": [1.0, 2.0]}))


@kind("certain", "evaluation", "Share of rows that are predicted with certainty", needs=("max",), asks=("rows",))
def certain(_: Any, gate: Gate, *, rows: Any) -> Measurement:
    share = rows.frame.select(((pl.col("prediction") - 0.5).abs() > 0.49).mean()).item()
    return Measurement(share, f"{share:.0%} of {rows.frame.height} rows", support=rows.frame.height)

    def empty(self) -> Any:
        return SimpleNamespace(frame=pl.DataFrame({"amount": []}, schema={"amount": pl.Float64}))


@kind("greedy", "batch", "Mean of a column, which it changes", needs=("min",), requires=("columns",))
def greedy(evidence: Any, gate: Gate) -> Measurement:
    assert gate.columns is not None
    frame, name = evidence.frame, gate.columns[0]
    found = frame[name].mean()
    frame.replace_column(frame.get_column_index(name), frame[name] * 0 + 100)
    frame[0, "day"] = "2025-01-01"
    return Measurement(found, f"the mean is {found}")


def test_a_gate_does_not_change_what_later_gates_see() -> None:
    rows = pl.DataFrame({"day": ["2024-01-01"] * 2, "amount": [1.0, 2.0]})
    evidence = BatchEvidence(lambda: rows, lambda: None, key=("day",), earlier_rows={})
    declared = {"gate": f"{__name__}:greedy", "columns": ["amount"], "min": 3}
    gates = [Gate.model_validate({**declared, "name": name}) for name in ("first", "second")]
    assert [one.status for one in judge(gates, evidence, subject="0" * 64, subject_name="it")] == ["failed"] * 2
    assert evidence.frame.equals(pl.DataFrame({"day": ["2024-01-01"] * 2, "amount": [1.0, 2.0]}))


def test_no_value_of_rows_that_were_counted_is_no_pass() -> None:
    """A mean of no rows, or of missing values only, is None."""
    for values in ([], [None, None]):
        frame = pl.DataFrame({"amount": values}, schema={"amount": pl.Float64})
        gate = Gate.model_validate(TestOwn.gate)
        (found,) = judge([gate], SimpleNamespace(frame=frame), subject="0" * 64, subject_name="it")
        assert found.status == "errored" and "give NaN where that refuses, and no support where" in found.reason


class TestOwnThatAsksForRows(GateContract):
    gate = {"gate": f"{__name__}:certain", "max": 0.5}  # noqa: RUF012

    def given(self, *predictions: float) -> Given:
        return Given(None, {"rows": SimpleNamespace(frame=pl.DataFrame({"prediction": predictions}))})

    def sound(self) -> Given:
        return self.given(0.2, 0.6)

    def broken(self) -> Given:
        return self.given(0.0, 1.0)


class TestModelLatency(GateContract):
    gate = {"gate": "model_latency", "max": 2}  # noqa: RUF012

    def sound(self) -> Given:
        return Given(None, {"one_row": OneRow(500, 0.1, 0.2, 0.3, 9.0)})

    def broken(self) -> Given:
        return Given(None, {"one_row": OneRow(500, 0.1, 0.2, 2.1, 9.0)})


@pytest.mark.parametrize(
    ("stage", "asked", "told"),
    [
        ("batch", "rows", "batch offers no 'rows' to ask for; it offers nothing, 'rows' is offered at evaluation"),
        ("evaluation", "running", "it offers rows, one_row, replay, first_trees, 'running' is offered at service"),
        ("evaluation", "row", "evaluation offers no 'row' to ask for; it offers rows, one_row, replay, first_trees"),
    ],
)
def test_what_a_stage_does_not_offer_cannot_be_asked_for(stage: Any, asked: str, told: str) -> None:
    with pytest.raises(DeclarationError, match=f"{told}$"):
        kind("mine", stage, "Anything", asks=(asked,))


def test_what_is_offered_is_there() -> None:
    for offered in OFFERED.values():
        for path in offered.values():
            assert isinstance(load_object(path, "asked"), type)


class TestHealth(GateContract):
    gate = {"gate": "health"}  # noqa: RUF012

    def sound(self) -> DeploymentEvidence:
        return DeploymentEvidence("http://127.0.0.1:1", wanted="2", answering="2")

    def broken(self) -> DeploymentEvidence:
        return DeploymentEvidence("http://127.0.0.1:1", wanted="2", answering="1")


class TestServability(GateContract):
    gate = {"gate": "servability"}  # noqa: RUF012

    def answered(self, error: str) -> ServiceEvidence:
        return ServiceEvidence(error, 1.0, 3, 0, 0, 0.0, (), 0)

    def sound(self) -> ServiceEvidence:
        return self.answered("")

    def broken(self) -> ServiceEvidence:
        return self.answered("it ended with 1")


def test_a_function_that_wants_what_its_kind_does_not_ask_for_is_told_at_once() -> None:
    def hungry(_: Any, gate: Gate, *, rows: Any) -> Measurement:
        return Measurement(0.0, "never")

    with pytest.raises(DeclarationError, match=r"kind 'hungry': its function wants 'rows' .* add asks=\('rows',\)"):
        kind("hungry", "evaluation", "Wants more than it asks for", needs=("max",))(hungry)


def test_a_function_that_lacks_what_its_kind_asks_for_is_told_at_once() -> None:
    def deaf(_: Any, gate: Gate) -> Measurement:
        return Measurement(0.0, "never")

    def bare() -> Measurement:
        return Measurement(0.0, "never")

    expected = r"kind 'deaf': its function cannot .* 'rows'\); def deaf\(evidence, gate, \*, rows\)"
    with pytest.raises(DeclarationError, match=expected):
        kind("deaf", "evaluation", "Asks for more than it takes", needs=("max",), asks=("rows",))(deaf)
    with pytest.raises(DeclarationError, match=r"kind 'bare': its function cannot .*; def bare\(evidence, gate\)"):
        kind("bare", "evaluation", "Takes nothing", needs=("max",))(bare)
