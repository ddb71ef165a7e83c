"""A source whose declaration does not fit its files: told by ``validate`` with key and way out, and in plain words."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.rows import unlike
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import plainly_read

SCHEMA = '''"""Sales."""

import pandera.polars as pa
import polars as pl


class Sales(pa.DataFrameModel):
    """Sales."""

    id: int
    day: pl.Date
    price: float = pa.Field(ge=0)
    name: str = pa.Field(metadata={"pii": True})
'''
GOOD = "id,day,price,name\n1,2024-01-05,1.5,Ann\n2,2024-01-20,20.25,Bob\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "declared_wrongly_schema.py").write_text(SCHEMA)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "incoming").mkdir()
    return tmp_path


def found(folder: Path, text: str | bytes = GOOD, name: str = "a.csv", **more: Any) -> list[tuple[str, str, bool]]:
    (folder / "incoming" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    source = {"kind": "folder", "path": str(folder / "incoming"), "pattern": "*", "by": "time", **more}
    spec = DatasetSpec.model_validate(
        {
            **{"name": "sales", "description": "Sales", "source": source, "key": ["id"], "time": "day"},
            **{"schema": "declared_wrongly_schema:Sales", "partitions": {"every": "month", "start": "2024-01-01"}},
            **{"gates": [{"gate": "schema"}]},
        }
    )
    return [(one.key, one.reason, one.certain) for one in unlike(spec)]


def test_what_fits_is_not_told(folder: Path) -> None:
    assert found(folder) == []
    comma = GOOD.replace("1.5", '"1,5"').replace("20.25", '"1.020,25"')
    assert found(folder, comma, decimal=",") == []
    assert found(folder, GOOD.replace("2024-01-05", "05.01.2024").replace("2024-01-20", "20.01.2024"),
                 formats={"day": "%d.%m.%Y"}) == []  # fmt: skip


@pytest.mark.parametrize(
    ("text", "more", "key", "reason"),
    [
        (GOOD.replace("1.5", '"1,5"').replace("20.25", '"20,25"'), {}, "source.decimal", "say decimal: ','"),
        (GOOD, {"decimal": ","}, "source.decimal", "say decimal: '.'"),
        (
            GOOD.replace("2024-01-05", "05.01.2024").replace("2024-01-20", "20.01.2024"), {},
            "source.formats", "say formats: {day: \"%d.%m.%Y\"}",
        ),
        (GOOD, {"formats": {"day": "%d/%m/%Y"}}, "source.formats", "it is in ISO form: leave it out of formats"),
        (GOOD.replace(",", ";"), {}, "source.separator", "say separator: ';'"),
        (GOOD, {"formats": {"dya": "%d/%m/%Y"}}, "source.formats", "unknown column 'dya'; did you mean 'day'?"),
        (GOOD.replace("1.5", "cheap").replace("20.25", "dear"), {}, "schema", "correct the schema, or the file"),
    ],
)  # fmt: skip
def test_what_is_declared_otherwise_than_it_is_is_a_mistake_with_its_key(
    folder: Path, text: str, more: dict[str, Any], key: str, reason: str
) -> None:
    (one,) = found(folder, text, **more)
    assert (one[0], one[2]) == (key, True)
    assert reason in one[1] and "\n" not in one[1] and "polars" not in one[1]


def test_single_values_that_do_not_fit_are_a_warning_and_personal_ones_are_not_shown(folder: Path) -> None:
    ((key, reason, certain),) = found(folder, GOOD.replace("20.25", "dear"))
    assert (key, certain) == ("source", False) and "'dear'" in reason
    numbers = SCHEMA.replace("name: str", "name: int")
    (folder / "declared_wrongly_schema.py").write_text(numbers)
    import sys

    sys.modules.pop("declared_wrongly_schema", None)
    try:
        ((_, reason, certain),) = found(folder)
    finally:
        sys.modules.pop("declared_wrongly_schema", None)
    assert certain and "Ann" not in reason and "Bob" not in reason


def test_a_folder_that_is_nearly_there_is_a_mistake_and_one_that_is_nowhere_a_warning(folder: Path) -> None:
    ((key, reason, certain),) = found(folder, path=str(folder / "incomming"))
    assert (key, certain) == ("source.path", True) and "did you mean 'incoming'?" in reason
    ((key, reason, certain),) = found(folder, path=str(folder / "elsewhere"))
    assert (key, certain) == ("source.path", False) and "create it or correct source.path" in reason


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"id,day\n1,2024-01-01,3,4\n", "has more fields than its first line"),
        ("a.csv", "id,Größe\n1,2\n".encode("latin1") + b"\xe4\xff,2\n", "it is no text in UTF-8"),
        ("a.parquet", b"no parquet at all, but long enough to be one", "it is no whole Parquet file"),
    ],
)
def test_files_that_cannot_be_read_are_told_in_plain_words(folder: Path, name: str, content: bytes, said: str) -> None:
    ((key, reason, certain),) = found(folder, content, name)
    assert certain and key == "source" and said in reason and name in reason
    assert "olars" not in reason and "Schema" not in reason and "infer" not in reason


def test_an_error_that_nobody_knows_is_told_by_its_name_alone() -> None:
    assert plainly_read(pl.exceptions.ComputeError("row 7: 'secret' could not be cast")) == "ComputeError"
    assert plainly_read(PermissionError(13, "Permission denied")) == "Permission denied"


def test_the_verdict_of_a_wrong_type_names_both_types_and_no_check_that_it_made_crash() -> None:
    import pandera.polars as pa

    from ml_platform.validation.schema import validate

    class Sales(pa.DataFrameModel):
        price: float = pa.Field(ge=0, le=10)

    broken = validate(Sales, pl.DataFrame({"price": ["1,5", "secret"]})).broken
    assert [one.column for one in broken] == ["price"]
    assert broken[0].message.startswith("column has the wrong type: String, and Float64 in the schema; ")
    assert "secret" not in broken[0].message


def test_a_check_of_ones_own_that_crashes_says_no_more_than_what_it_raised() -> None:
    import pandera.polars as pa

    from ml_platform.validation.schema import validate

    class Sales(pa.DataFrameModel):
        price: float

        @pa.dataframe_check
        def sound(cls, data: Any) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col("nowhere") > 0)

    (one,) = validate(Sales, pl.DataFrame({"price": [1.5]})).broken
    assert one.message == "check crashed (there is no column 'nowhere'); correct the check"


def test_a_time_that_is_no_date_names_the_way_out(folder: Path) -> None:
    (folder / "incoming" / "a.csv").write_text(GOOD.replace("2024-01-05", "05.01.2024"))
    source = {"kind": "folder", "path": str(folder / "incoming"), "pattern": "*", "by": "time"}
    spec = DatasetSpec.model_validate(
        {
            **{"name": "sales", "description": "Sales", "source": source, "key": ["id"], "time": "day"},
            **{"schema": "declared_wrongly_schema:Sales", "partitions": {"every": "month", "start": "2024-01-01"}},
            **{"gates": [{"gate": "schema"}]},
        }
    )
    with pytest.raises(PlatformError, match=r"is no date; .*source\.formats"):
        spec.load_source().partitions()
