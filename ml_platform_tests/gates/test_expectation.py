"""The gate on outcomes that nobody expected: what it compares, and what it says where it compares nothing."""

from typing import Any

import pytest

from ml_platform.evaluation.expectation import Gap, Gaps
from ml_platform.gates.gate import Gate, Verdict, judge


def gap(beyond: float, column: str = "", value: str = "") -> Gap:
    found = {"rows": 900, "clusters": 30, "outcome": 0.4, "expected": 0.3, "lower": 0.05, "upper": 0.15}
    return Gap(column=column, value=value, of="", beyond=beyond, **found)  # pyright: ignore[reportArgumentType]


def judged(gaps: Gaps, **keys: Any) -> Verdict:
    gate = Gate.model_validate({"gate": "expectation", "max": 0.1, **keys})
    (verdict,) = judge([gate], None, subject="0" * 64, subject_name="m/split", asked={"gaps": lambda: gaps})
    return verdict


JUNE = Gaps({"2024-06": [gap(0.05), gap(0.3, "city", "Bonn"), gap(0.02, "city", "Ulm")], "2024-07": [gap(0.07)]})


def test_all_rows_are_judged_or_the_slices_that_are_named_the_furthest_first() -> None:
    whole, sliced = judged(JUNE), judged(JUNE, columns=["city"])
    assert (whole.status, whole.observed) == ("passed", 0.07)
    assert (sliced.status, sliced.observed) == ("failed", 0.3) and "city Bonn" in sliced.reason


def test_a_column_without_slices_is_named_with_those_that_there_are() -> None:
    found = judged(JUNE, columns=["colour"])
    assert found.status == "errored"
    assert "outcomes are not compared by colour; slices of the feature function with enough rows: city" in found.reason


@pytest.mark.parametrize(
    ("gaps", "keys", "said"),
    [
        (Gaps({}, why="no version answers yet"), {}, "no version answers yet"),
        (Gaps({"2024-06": []}), {}, "too few outcomes or days of 2024-06 to compare"),
        (Gaps({"2024-06": [gap(0.2)]}), {"columns": ["city"]}, "too few slices or days of 2024-06 to compare"),
    ],
)
def test_where_nothing_can_be_compared_it_says_why_and_passes(gaps: Gaps, keys: dict[str, Any], said: str) -> None:
    found = judged(gaps, **keys)
    assert (found.status, found.observed) == ("passed", None) and said in found.reason
