"""What every asset has in common: Dagster's partitions are those that are declared."""

from datetime import date, datetime, timedelta
from typing import Literal

import pytest

from ml_platform.orchestration.common import partitions_of
from ml_platform_tests import shop_project as shop

NOW = datetime(2024, 6, 15)


@pytest.mark.parametrize(
    ("every", "start"),
    [("day", date(2024, 5, 30)), ("month", date(2024, 1, 1)), ("year", date(2016, 1, 1))]
    + [("week", date(2024, 1, 1) + timedelta(days=weekday)) for weekday in range(7)],
)
def test_keys_are_the_same_in_dagster(every: Literal["day", "week", "month", "year"], start: date) -> None:
    declared = shop.declared(dataset={"partitions": {"every": every, "start": start.isoformat()}})
    spec = declared.dataset(shop.DATASET)
    keys = partitions_of(spec).get_partition_keys(current_time=NOW)
    assert keys == spec.partitions.keys(NOW)
    assert len(keys) > 4
