"""Days as people write them: one list for the table that is profiled and for the declaration that is checked."""

import polars as pl
import pytest

from ml_platform.declarations import rows
from ml_platform.sources import detection
from ml_platform.sources.day_forms import fitting


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("31.12.2024", ["%d.%m.%Y"]),
        ("2024.12.31", ["%Y.%m.%d"]),
        ("12/31/2024", ["%m/%d/%Y"]),
        ("01/02/2024", ["%d/%m/%Y", "%m/%d/%Y"]),
        ("31 Dec 2024", ["%d %b %Y"]),
        ("20241231", ["%Y%m%d"]),
        ("31.12.2024 17:05", ["%d.%m.%Y %H:%M"]),
        ("12/31/2024 05:05 PM", ["%m/%d/%Y %I:%M %p"]),
        ("2024-12-31", []),
        ("soon", []),
    ],
)
def test_every_form_that_a_text_may_be_in_is_found(text: str, forms: list[str]) -> None:
    values = pl.Series("day", [text, None, text])
    found = dict(fitting(values))
    assert [*found] == forms
    timed = any(":" in form or "%H" in form for form in forms)
    assert [form for form, _ in fitting(values, times=timed)] == forms
    assert not [*fitting(values, times=not timed)]
    assert all(read.null_count() == 1 and read.dtype.is_temporal() for read in found.values())
    # A list of forms beside this one would come to differ from it.
    assert detection.fitting is rows.fitting is fitting


def test_of_no_value_nothing_is_said() -> None:
    assert not [*fitting(pl.Series("day", [None, None], dtype=pl.String))]
