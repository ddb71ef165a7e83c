"""A small batch of March, what was accepted before it, and the verdict of one gate."""

from datetime import UTC, date, datetime
from typing import Any

import pandera.polars as pa
import polars as pl

from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Verdict, judge

FRAME = pl.DataFrame(
    {
        "day": [date(2013, 3, day) for day in (1, 10, 20, 28)],
        "size": [1.0, 2.0, None, 4.0],
        "place": ["a", "b", "b", None],
    }
)
EARLIER = {"2013-01-01": pl.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "place": ["a", "a", "c", None]})}


class Rows(pa.DataFrameModel):
    """Columns that verdicts may show; the values of others are masked."""

    day: pl.Date
    place: str
    label: int
    length: float


def batch(gate: dict[str, Any], frame: pl.DataFrame = FRAME, **evidence: Any) -> Verdict:
    """The verdict of one gate on a batch of March."""
    known: dict[str, Any] = {
        "earlier": lambda names, columns: pl.concat(EARLIER[name].select(columns) for name in names),
        "time": "day",
        "window": (date(2013, 3, 1), date(2013, 4, 1)),
        "now": datetime(2026, 1, 1, tzinfo=UTC),
    }
    earlier_rows = evidence.pop("earlier_rows", {"2013-01-01": 4})
    found = BatchEvidence(
        lambda: frame, lambda: Rows, evidence.pop("key", ("day",)), earlier_rows, **{**known, **evidence}
    )
    (verdict,) = judge([Gate.model_validate(gate)], found, subject="a" * 64, subject_name="x")
    return verdict
