"""Partitions as they are declared: of time, or none."""

from datetime import date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import DeclarationError
from ml_platform.sources.partitions import WHOLE, Partitions
from ml_platform_tests.sources.example import spec

FOLDER = {"kind": "folder", "path": "incoming"}


def test_none_is_one_partition_for_good() -> None:
    none = Partitions.model_validate("none")
    assert not none.timed
    assert none.keys(date(2024, 1, 1)) == [WHOLE] and not none.to_come(datetime(1999, 1, 1))
    assert none.window(WHOLE) == (date.min, date.max)
    assert none == Partitions.model_validate(none.model_dump(exclude_defaults=True))
    with pytest.raises(DeclarationError, match="there is only 'all'"):
        none.window("2024-01-01")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"every": "month"}, 'every month needs a start: {every: month, start: "2024-01-01"}'),
        ({"every": "none", "start": "2024-01-01"}, "no start and no end; write `partitions: none`"),
        ({"every": "none", "end": "2024-01-01"}, "no start and no end; write `partitions: none`"),
    ],
)
def test_a_start_is_given_exactly_where_there_is_a_time(declared: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Partitions.model_validate(declared)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "gate",
    [{"gate": "window"}, {"gate": "freshness", "max": 3}, {"gate": "coverage", "every": "day", "max": 0.5}],
)
def test_gates_that_ask_when_are_refused_without_partitions(gate: Any) -> None:
    with pytest.raises(ValidationError, match=f"gate '{gate['gate']}' asks when"):
        spec(FOLDER, partitions="none", gates=[gate])
    assert spec({**FOLDER, "by": "time"}, gates=[gate])


def test_time_may_be_left_out_without_partitions_only() -> None:
    declared = spec({**FOLDER, "by": "time"}).model_dump(by_alias=True, exclude_defaults=True)
    assert DatasetSpec.model_validate({**declared, "partitions": "none", "time": ""})
    with pytest.raises(ValidationError, match="time: name the column with the day of the event"):
        DatasetSpec.model_validate({**declared, "time": ""})
