"""Files with the columns of a dataset: read as its source is declared, or else as they are written."""

from datetime import date

import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.folder import FolderSource
from ml_platform.sources.table_file import read_table_file

TYPES = {"Datum": pl.Date(), "Energy (kWh)": pl.Float64(), "Nr": pl.String(), "n": pl.Int64()}
GERMAN = FolderSource.model_validate(
    {
        "kind": "folder", "path": "data", "separator": ";", "decimal": ",", "missing": ["", "k. A."],
        "formats": {"Datum": "%d.%m.%Y"}, "by": "time",
    }
)  # fmt: skip
PLAIN = FolderSource.model_validate({"kind": "folder", "path": "data", "by": "time"})
#: The same two rows, as people write them; of the first nobody could tell day from month without the declaration.
DECLARED = "Datum;Energy (kWh);Nr;n\n03.02.2024;1.234,5;007;1\n04.02.2024;k. A.;008;2\n"
OTHER = "Nr,n,Datum,Energy (kWh)\n007,1,2024-02-03,1234.5\n008,2,2024-02-04,\n"
WANTED = pl.DataFrame(
    {
        "Datum": [date(2024, 2, 3), date(2024, 2, 4)],
        "Energy (kWh)": [1234.5, None],
        "Nr": ["007", "008"],
        "n": [1, 2],
    }
)


@pytest.mark.parametrize(
    ("text", "source", "read"),
    [
        (DECLARED, GERMAN, {}),
        (OTHER, PLAIN, {}),
        # Not as it is declared, and of a source that declares no files at all.
        (OTHER, GERMAN, {}),
        (OTHER, "own.source:source", {}),
        (OTHER.replace(",", "|").replace("2024-02-03", "03/02/2024").replace("2024-02-04", "24/02/2024"), GERMAN,
         {"separator": "|", "formats": {"Datum": "%d/%m/%Y"}}),
        (DECLARED.replace("k. A.", "NA").replace("04.02.", "24.02."), PLAIN,
         {"separator": ";", "missing": ["", "NA"], "decimal": ",", "formats": {"Datum": "%d.%m.%Y"}}),
    ],
)  # fmt: skip
def test_a_table_is_read_as_its_source_is_declared_or_as_it_is_written(
    text: str, source: object, read: dict[str, object]
) -> None:
    frame, said = read_table_file(text.encode(), "x/rows.csv", source, TYPES)
    wanted = WANTED
    if "24.02." in text or "24/02/" in text:
        wanted = WANTED.with_columns(Datum=pl.Series([date(2024, 2, 3), date(2024, 2, 24)]))
    assert frame.select(wanted.columns).equals(wanted)
    assert said == read


def test_what_nobody_can_tell_is_refused_and_what_cannot_be_read_stays_text() -> None:
    with pytest.raises(PlatformError, match=r"rows\.csv: dates of 'Datum' can be read as %d/%m/%Y or %m/%d/%Y; write"):
        read_table_file(OTHER.replace("2024-02-0", "02/03/202").encode(), "rows.csv", PLAIN, TYPES)
    frame, said = read_table_file(OTHER.replace("1234.5", "much").encode(), "rows.csv", PLAIN, TYPES)
    assert (frame.schema["Energy (kWh)"], said) == (pl.String, {})
    with pytest.raises(PlatformError, match=r"rows\.csv: line 2 has 5 fields, the first has 4"):
        read_table_file(OTHER.replace("1234.5", "1,234.5").encode(), "rows.csv", PLAIN, TYPES)
