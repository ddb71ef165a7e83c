"""The one gate mechanism."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_platform.declarations.declaration import Declaration
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.gates import every_kind
from ml_platform.gates.gate import KINDS, Gate, Kind, Measurement, judge, kind

SUBJECT = "a" * 64


class Listed(Declaration):
    """A declaration with gates on batches."""

    _stages = ("batch",)


@pytest.fixture
def measured(monkeypatch):
    """A kind of gate whose measurement the test decides."""

    def make(function, **options):
        monkeypatch.setitem(KINDS, "probe", Kind("probe", "batch", "A probe", function, **options))

    return make


def one(gate: Gate):
    (verdict,) = judge([gate], None, subject=SUBJECT, subject_name="flights/batch/2013-01-01")
    return verdict


def test_every_kind_says_its_stage_and_how_it_is_limited():
    assert every_kind.KINDS
    for one_kind in KINDS.values():
        assert one_kind.description
        assert one_kind.needs or one_kind.limit is not None or one_kind.requires, (
            f"{one_kind.name} could be declared without a limit"
        )


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"gate": "nothing"}, "unknown gate 'nothing'"),
        ({"gate": "volume"}, "gate 'volume' has no threshold: give min and max"),
        ({"gate": "volume", "min": 0.5}, "give max"),
        ({"gate": "performance", "metric": "auc"}, "has no threshold: give min or max"),
        ({"gate": "performance", "min": 0.7}, "needs metric"),
        ({"gate": "schema", "max": 3}, "has a fixed limit"),
        ({"gate": "missing", "max": 0.1}, "needs columns"),
        ({"gate": "rules", "max": 0, "colour": "red"}, "Extra inputs are not permitted"),
        ({"gate": "latency", "max": 100}, "gate 'latency' needs rate"),
        ({"gate": "latency", "max": 100, "rate": 0}, "greater than or equal to 5"),
        ({"gate": "latency", "max": 100, "rate": math.nan}, "less than or equal to 1000"),
        ({"gate": "latency", "max": 100, "rate": 5000}, "less than or equal to 1000"),
        ({"gate": "model_latency", "max": 100, "rate": 50}, "gate 'model_latency' does nothing with rate; remove it"),
        ({"gate": "volume", "min": 0.5, "max": 2, "by": ["carrier"]}, "gate 'volume' does nothing with by; remove it"),
        (
            {"gate": "observation_age", "max": 3, "columns": ["at"]},
            "gate 'observation_age' takes 2 columns, not 1 (at)",
        ),
        (
            {"gate": "distribution", "metric": "correlation", "max": 0.1, "columns": ["fare"]},
            "gate 'distribution' of correlation takes at least 2 columns, not 1 (fare)",
        ),
        (
            {"gate": "coverage", "every": "day", "max": 0.5, "columns": ["day", "hour"]},
            "gate 'coverage' takes 1 column, not 2 (day, hour)",
        ),
        ({"gate": "volume", "min": math.nan, "max": 2}, "gate 'volume': min is no number (nan)"),
        ({"gate": "volume", "min": 0.5, "max": 2, "parameters": {"q": 1}}, "gate 'volume' has no parameters; remove"),
        ({"gate": "coverage", "max": 0.5}, "gate 'coverage' needs every or by"),
        (
            {"gate": "monotonic", "max": 0.1, "increasing": ["fare"], "decreasing": ["fare"]},
            "fare cannot be increasing and decreasing",
        ),
        (
            {"gate": "missing", "max": 0.1, "columns": ["fare"], "name": "rollback"},
            "the name 'rollback' is the platform's own; give it another one",
        ),
        ({"gate": "rules", "max": 0, "name": "Rules!"}, "String should match pattern"),
    ],
)
def test_a_gate_without_what_it_needs_is_an_error_when_it_is_declared(declared, reason):
    with pytest.raises(ValidationError) as error:
        Gate.model_validate(declared)
    assert reason in str(error.value)


@given(
    observed=st.floats(allow_nan=False),
    low=st.floats(allow_nan=False, allow_infinity=False),
    high=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_value_is_accepted_exactly_inside_the_threshold(observed, low, high):
    gate = Gate(gate="performance", metric="auc", min=low, max=high)
    assert gate.accepts(observed) == (low <= observed <= high)


def test_nan_is_never_accepted():
    assert not Gate(gate="performance", metric="auc", min=-math.inf, max=math.inf).accepts(math.nan)


def test_nan_fails_and_is_stored_as_nothing(measured):
    measured(lambda *_: Measurement(math.nan), needs=("max",))
    verdict = one(Gate(gate="probe", max=1))
    assert (verdict.status, verdict.observed) == ("failed", None)
    verdict.model_dump_json()


@pytest.mark.parametrize("error", [ValueError("boom"), KeyError("x"), PlatformError("the store is gone")])
def test_a_gate_that_raises_is_errored_and_holds_back(measured, error):
    def broken(*_):
        raise error

    measured(broken, needs=("max",))
    verdict = one(Gate(gate="probe", max=1))
    assert verdict.status == "errored"
    assert verdict.holds_back
    assert str(error) in verdict.reason


def test_a_gate_without_a_measurement_is_errored(measured):
    measured(lambda *_: None, needs=("max",))
    assert one(Gate(gate="probe", max=1)).status == "errored"


def test_one_broken_gate_does_not_hide_the_others(measured):
    def broken(*_):
        raise RuntimeError("boom")

    measured(broken, needs=("max",))
    KINDS["fine"] = Kind("fine", "batch", "Fine", lambda *_: Measurement(0.0), needs=("max",))
    try:
        verdicts = judge([Gate(gate="probe", max=1), Gate(gate="fine", max=1)], None, subject=SUBJECT, subject_name="x")
    finally:
        del KINDS["fine"]
    assert [verdict.status for verdict in verdicts] == ["errored", "passed"]


def test_too_little_support_is_no_pass(measured):
    measured(lambda *_: Measurement(0.0, support=9), needs=("max",))
    assert one(Gate(gate="probe", max=1, min_support=9)).status == "passed"
    verdict = one(Gate(gate="probe", max=1, min_support=10))
    assert verdict.status == "not_enough_support"
    assert verdict.holds_back


def test_a_warning_holds_nothing_back(measured):
    measured(lambda *_: Measurement(2.0), needs=("max",))
    verdict = one(Gate(gate="probe", max=1, severity="warn"))
    assert verdict.status == "failed"
    assert not verdict.holds_back


def test_a_copy_with_another_threshold_is_another_declaration():
    gate = Gate(gate="rules", max=0)
    assert gate.declaration == gate.within("here").declaration == gate.model_copy().declaration
    assert gate.model_copy(update={"max": 1.0}).declaration == Gate(gate="rules", max=1).declaration != gate.declaration
    assert Gate(gate="rules", max=0) == gate and gate.model_dump() == Gate(gate="rules", max=0).model_dump()


def test_a_changed_threshold_is_another_declaration():
    first, second = Gate(gate="rules", max=0), Gate(gate="rules", max=0.1)
    assert first.declaration != second.declaration
    assert first.declaration == Gate(gate="rules", max=0).declaration


def test_another_rate_is_another_declaration_and_none_is_that_of_before_there_were_rates():
    slow, fast = (Gate(gate="latency", max=100, rate=rate) for rate in (10, 20))
    assert slow.declaration != fast.declaration
    assert Gate(gate="rules", max=0).declaration == "49eb330ed521c291"  # pragma: allowlist secret


def test_directions_are_asked_of_a_feature_one_way() -> None:
    for keys, message in (
        ({}, "needs increasing or decreasing"),
        ({"increasing": ["a", "b"], "decreasing": ["b"]}, "b cannot be increasing and decreasing"),
    ):
        with pytest.raises(ValueError, match=message):
            Gate.model_validate({"gate": "monotonic", "max": 0.1, **keys})
    given = Gate(gate="monotonic", max=0.1, increasing=("a",))
    assert given.declaration != Gate(gate="monotonic", max=0.1, decreasing=("a",)).declaration


def test_a_name_tells_two_gates_of_a_kind_apart() -> None:
    place = Gate(gate="missing", columns=("tailnum",), max=0.1, name="missing_tail")
    weather = Gate(gate="missing", columns=("temp",), max=0.2)
    assert (place.name, weather.name) == ("missing_tail", "missing")
    assert [gate.name for gate in Listed.model_validate({"gates": [place, weather]}).gates]
    with pytest.raises(ValidationError, match="gate 'missing' is listed twice; give each a name of its own"):
        Listed.model_validate({"gates": [weather, weather]})


def test_a_name_is_part_of_the_declaration_where_it_is_given() -> None:
    usual, named = Gate(gate="rules", max=0), Gate(gate="rules", max=0, name="sums")
    assert named.declaration != usual.declaration
    assert Gate(gate="rules", max=0, name="rules").declaration == usual.declaration
    for gate in (usual, named):
        assert Gate.model_validate(gate.model_dump()) == gate
        assert Gate.model_validate(gate.model_dump(exclude_none=True)).declaration == gate.declaration
        assert Gate.model_validate_json(gate.model_dump_json()).declaration == gate.declaration


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"details": {"a": np.arange(3)}}, r"Measurement.details\['a'\] is int64 \(3,\), which JSON cannot hold"),
        ({"details": {"a": [{"b": object()}]}}, r"Measurement.details\['a'\] is list"),
        ({"observed": "1"}, "Measurement.observed is str '1'; make it a number"),
        ({"support": 1.5}, "Measurement.support is float 1.5"),
        ({"reason": None}, "Measurement.reason is NoneType None"),
        ({"observed": None, "reason": " "}, "Measurement.observed is None and nothing says why; give the reason"),
        ({"details": None}, "AttributeError"),
    ],
)
def test_what_no_verdict_can_keep_is_an_error_of_its_gate_alone(measured, given, message):
    measured(lambda evidence, gate: Measurement(**{"observed": 1.0, **given}))
    verdict = one(Gate(gate="probe", max=2))
    assert verdict.status == "errored" and re.search(message, verdict.reason), verdict.reason
    verdict.model_dump_json()


def test_numbers_of_numpy_are_numbers(measured):
    numbers: Any = {"observed": np.float32(1), "support": np.int64(3)}
    measured(lambda evidence, gate: Measurement(**numbers))
    verdict = one(Gate(gate="probe", max=2))
    assert verdict.passed and verdict.support == 3
    verdict.model_dump_json()


def test_what_user_code_raised_names_function_file_and_line(measured):
    def takings(evidence, gate):
        raise ValueError("no till\n is open")

    measured(takings)
    reason = one(Gate(gate="probe", max=2)).reason
    assert re.fullmatch(r"ValueError: no till is open \(in .*takings, gates/test_gate.py:\d+\)", reason), reason


def test_a_kind_that_no_gate_can_be_is_refused_where_it_is_made():
    made: Any = kind
    for arguments, options, message in (
        (("Bad Name", "batch", ""), {}, "kind 'Bad Name': .* such as 'bad_name'"),
        (("takings", "bach", ""), {}, "there is no stage 'bach' with gates"),
        (("takings", "batch", ""), {"requires": ("colums",)}, "no gate has the key 'colums'"),
        (("takings", "batch", ""), {"needs": ("most",)}, "no gate has the key 'most'"),
        (
            ("takings", "batch", ""),
            {"parameters": {"ratio": 1.5}},
            "kind 'takings': parameters is dict {'ratio': 1.5}; ",
        ),
        (
            ("takings", "batch", ""),
            {"parameters": int},
            "parameters is type <class 'int'>; expected a model of pydantic",
        ),
        (
            ("takings", "batch", ""),
            {"columns": 2},
            r"kind 'takings': columns is int 2; expected the fewest and the most that it takes, such as \(2, 2\)",
        ),
        (("takings", "batch", ""), {"columns": {"mean": (3, 2)}}, r"columns is tuple \(3, 2\); expected the fewest"),
        (("takings", "evaluation", ""), {"asks": "rows"}, r"asks is the text 'rows'; expected a tuple: \('rows',\)"),
    ):
        with pytest.raises(DeclarationError, match=message):
            made(*arguments, **options)


def test_files_beside_a_kind_of_ones_own_are_part_of_the_context(tmp_path, monkeypatch):
    folder = tmp_path / "rules_with_limits"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "mine.py").write_text(
        "from ml_platform.gates.gate import Measurement, kind\n\n"
        '@kind("limits_of_mine", "batch", "What a file says", needs=("max",))\n'
        "def limits_of_mine(evidence, gate):\n    return Measurement(0.0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    gate = Gate.model_validate({"gate": "rules_with_limits.mine:limits_of_mine", "max": 1})
    before = gate.within("x").context
    assert gate.within("x").context == before
    (folder / "limits.json").write_text("[1]")
    there = gate.within("x").context
    (folder / "limits.json").write_text("[1000]")
    assert len({before, there, gate.within("x").context}) == 3
