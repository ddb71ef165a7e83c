"""Evidently's report on drift: the page that people look at. Gates and sensors have statistics of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import made, replacing

if TYPE_CHECKING:
    import polars as pl

#: Rows of reference and of current data together: Evidently takes half a minute for the whole example.
ROWS = 50_000


class DriftSummary(NamedTuple):
    """What Evidently's preset found, by the test it chooses for each column."""

    columns: int
    drifted: int

    @property
    def share(self) -> float:
        """Share of drifted columns."""
        return self.drifted / self.columns


def write(reference: "pl.DataFrame", current: "pl.DataFrame", path: Path) -> DriftSummary:
    """Write Evidently's data drift report of equal columns as one HTML file; one without a value on a side is left out.

    Raises PlatformError without rows or columns, and for more than :data:`ROWS` rows.
    """
    rows = reference.height + current.height
    # Evidently compares no column that is empty on one side, and gives up on all others, too.
    told = [
        name for name in reference.columns if all(one[name].null_count() < one.height for one in (reference, current))
    ]
    reference, current = reference.select(told), current.select(told)
    if not reference.height or not current.height or not reference.width:
        raise PlatformError("drift report: reference and current data need rows and columns")
    if rows > ROWS:
        raise PlatformError(f"drift report: {rows:,} rows are more than {ROWS:,}; draw a sample")
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = Report([DataDriftPreset()]).run(current.to_pandas(), reference.to_pandas())
    made(path.parent)
    with replacing(path) as temporary:
        found.save_html(str(temporary))
    count = next(
        one["value"]["count"] for one in found.dict()["metrics"] if "DriftedColumnsCount" in one["metric_name"]
    )
    return DriftSummary(reference.width, int(count))
