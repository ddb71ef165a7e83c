"""Reads a stranger's table, and finds out of which types its columns are: numbers, dates and truths in text too."""

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.creating.number_texts import decimal_comma, odd_numbers
from ml_platform.creating.text_files import check_names, check_text, separator_of
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import COMMA_NUMBER, with_point
from ml_platform.sources.files import Files, folder_files, fsspec_files
from ml_platform.sources.rules import FolderSource, FsspecSource

if TYPE_CHECKING:
    import polars as pl

#: Texts that stand for a missing value, where a column without them is one of numbers, dates or truths.
MISSING = ("NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "None", "none", "?", "-", "--", ".")
#: Forms of dates that are not ISO. Day and month are told apart by a day beyond the 12th only.
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")
_TIMES = (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_ISO_DAY, _ISO_TIME = r"^\d{4}-\d{2}-\d{2}( 00:00:00|T00:00:00)?$", r"^\d{4}-\d{2}-\d{2}[T ]"
#: Rows by which the form of dates is looked for, before all are read by it.
_FEW = 2_000


@dataclass
class Table:
    """A table as its source will deliver it."""

    #: What it is called: file or folder without ending.
    name: str
    #: Typed rows: Int64, Float64, Boolean, String, Date or Datetime in microseconds.
    frame: "pl.DataFrame"
    #: The declared source, as far as it is known from the files.
    source: dict[str, Any]
    #: Number of files.
    files: int
    #: What was guessed on the way, one sentence each.
    notes: list[str] = field(default_factory=list)
    #: Columns of text whose dates may be read in two ways, with both forms.
    unclear: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Columns of text that hold numbers in a form that is not read, with what to do about it.
    odd: dict[str, str] = field(default_factory=dict)
    #: Of a table in a database: the query for one partition, by the column with its time.
    bounded: Callable[[str], str] | None = None


def read_table(where: str, root: Path) -> Table:
    """The table in a file or folder (absolute or below the working folder), or at an address of fsspec.

    ``root`` is the project's folder, below which paths are declared. Raises PlatformError for what is no table.
    """
    import polars as pl

    rule, name, declared = _rule(where, root)
    files = folder_files(rule) if isinstance(rule, FolderSource) else fsspec_files(rule)
    names = files.names()
    if not names:
        raise PlatformError(f"{where}: there is no CSV or Parquet file here")
    notes: list[str] = []
    raw, more = _read(files, names)
    if raw.height < 2 or raw.width < 2:
        raise PlatformError(f"{where}: {raw.height} rows of {raw.width} columns are no table to learn from")
    if odd := [column for column in raw.columns if not column.strip() or "\n" in column]:
        raise PlatformError(
            f"{where}: a column has no name (found {odd[0]!r}); give every column one in the first line"
        )
    found, formats, unclear = {}, {}, {}
    missing = _missing(raw)
    if missing:
        notes.append(f"{', '.join(map(repr, missing))} in place of a value means that it is missing")
        text = [column for column in raw.columns if raw[column].dtype == pl.String]
        raw = raw.with_columns(
            pl.when(~pl.col(column).is_in(missing)).then(pl.col(column)).alias(column) for column in text
        )
        more["missing"] = ["", *missing]
    comma, told = decimal_comma(
        {column: raw[column] for column in raw.columns if raw[column].dtype == pl.String}, more.get("separator", ",")
    )
    notes += told
    if comma:
        more["decimal"] = ","
        notes.append("numbers have decimal commas: points in them are taken for thousands")
    for column in raw.columns:
        found[column], form = typed(raw[column], comma)
        if isinstance(form, tuple):
            unclear[column] = form
        elif form:
            formats[column] = form
    if formats:
        more["formats"] = formats
    odd = {column: why for column, one in found.items() if one.dtype == pl.String and (why := odd_numbers(one))}
    return Table(name, pl.DataFrame(found), {**declared, **more}, len(names), notes, unclear, odd)


def _rule(where: str, root: Path) -> tuple[FolderSource | FsspecSource, str, dict[str, Any]]:
    """What delivers the files, what the table is called, and the keys that declare it as a source."""
    where = where.removeprefix("file://") if "*" not in where else where
    if "://" in where:
        is_file = re.search(r"\.(csv|csv\.gz|parquet)$", where)
        url = where if is_file or "*" in where else f"{where.rstrip('/')}/*"
        named = re.sub(r"/?[^/]*\*.*$", "", where).rstrip("/").rpartition("/")[2]
        return (
            FsspecSource.model_validate({"kind": "fsspec", "url": url, "by": "time"}),
            _plain_name(named),
            {"kind": "fsspec", "url": url},
        )
    # Not resolved: a link that lies in the project is named as it is there.
    path = Path(os.path.abspath(Path(where).expanduser()))
    if not path.exists():
        raise PlatformError(f"{where}: there is no such file or folder")
    folder, pattern = (path, "") if path.is_dir() else (path.parent, glob.escape(path.name))
    shown = _below(folder, root)
    if not pattern:
        tables = [one.name for one in path.iterdir() if not one.name.startswith((".", "_"))]
        endings = sorted(
            {ending for ending in (".csv", ".csv.gz", ".parquet") for one in tables if one.endswith(ending)}
        )
        if len(endings) > 1:
            raise PlatformError(
                f"{where}: files of several kinds ({', '.join(endings)}); give one kind a folder of its own"
            )
        pattern = f"*{endings[0]}" if endings else "*"
    rule = FolderSource.model_validate({"kind": "folder", "path": str(folder), "pattern": pattern, "by": "time"})
    return rule, _plain_name(path.name), {"kind": "folder", "path": shown, "pattern": pattern}


def _below(folder: Path, root: Path) -> str:
    """A folder as it is declared: below the project where it is there, by whatever links one gets to it."""
    known = root.resolve()
    for start in (folder, folder.resolve()):
        for above in (start, *start.parents):
            if above.resolve() == known:
                return str(start.relative_to(above))
    return str(folder)


def _plain_name(name: str) -> str:
    return re.sub(r"\.(csv|csv\.gz|parquet)$", "", name)


def _read(files: Files, names: list[str]) -> "tuple[pl.DataFrame, dict[str, Any]]":
    """All rows, CSV as text; and the keys of the source that reads them so."""
    import polars as pl

    more: dict[str, Any] = {}
    frames = []
    for name in names:
        try:
            with files.open(name) as stream:
                if name.endswith(".parquet"):
                    frames.append(pl.read_parquet(stream))
                    continue
                content = stream.read()
                first = check_text(content, name)
                separator = more.get("separator") or separator_of(first)
                check_names(first, separator, name)
                frames.append(pl.read_csv(content, infer_schema=False, separator=separator, null_values=[""]))
                if separator != ",":
                    more["separator"] = separator
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise PlatformError(f"{name}: cannot be read as a table ({reason})") from error
        if frames[-1].columns != frames[0].columns:
            odd = sorted({*frames[-1].columns} ^ {*frames[0].columns}) or ["another order"]
            raise PlatformError(f"{name}: its columns differ from those of {names[0]}: {', '.join(odd[:5])}")
    return pl.concat(frames, how="vertical_relaxed"), more


def _missing(raw: "pl.DataFrame") -> list[str]:
    """Texts that mean a missing value: without them a column is one of numbers, dates or truths."""
    import polars as pl

    found: set[str] = set()
    for column in raw.columns:
        values = raw[column]
        if values.dtype != pl.String:
            continue
        there = set(values.filter(values.is_in(MISSING)).unique().to_list())
        rest = values.filter(~values.is_in(MISSING)).drop_nulls()
        numbers = there and rest.len() and rest.str.contains(COMMA_NUMBER).all()
        if numbers or (there and rest.len() and typed(rest)[0].dtype != pl.String):
            found |= there
    return [text for text in MISSING if text in found]


def typed(values: "pl.Series", comma: bool = False) -> "tuple[pl.Series, str | tuple[str, str]]":
    """A column as what it is, and the form of its dates where that is not ISO; both forms where there are two.

    ``comma``: numbers have decimal commas.
    """
    import polars as pl

    kind = values.dtype
    if kind.is_integer():
        return values.cast(pl.Int64), ""
    if kind.is_float() or kind.is_decimal():
        return values.cast(pl.Float64), ""
    if isinstance(kind, pl.Datetime):
        return values.cast(pl.Datetime("us")), ""
    if isinstance(kind, pl.Boolean | pl.Date):
        return values, ""
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Time | pl.Null):
        return values.cast(pl.String), ""
    if kind != pl.String:
        raise PlatformError(f"column {values.name!r} is {kind}; leave it out, or make it a number, a text or a date")
    there = values.drop_nulls()
    if not there.len():
        return values, ""
    if comma and there.str.contains(COMMA_NUMBER).all() and not there.str.contains(r"^[+-]?0\d").any():
        pointed = with_point(values)
        whole = not there.str.contains(",", literal=True).any()
        fits = whole and int(there.str.len_chars().max() or 0) <= 18  # type: ignore[arg-type]
        return pointed.cast(pl.Int64 if fits else pl.Float64), ""
    if there.str.contains(r"^[+-]?\d{1,18}$").all() and not there.str.contains(r"^[+-]?0\d").any():
        return values.cast(pl.Int64), ""
    if there.str.contains(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$").all() and not there.str.contains(r"^0\d").any():
        return values.cast(pl.Float64), ""
    if set(there.str.to_lowercase().unique()) <= {"true", "false"}:
        return values.str.to_lowercase() == "true", ""
    return _dated(values, there)


def _dated(values: "pl.Series", there: "pl.Series") -> "tuple[pl.Series, str | tuple[str, str]]":
    import polars as pl

    if there.str.contains(_ISO_DAY).all():
        day = values.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        return (day, "") if day.null_count() == values.null_count() else (values, "")
    if there.str.contains(_ISO_TIME).all():
        try:
            return values.str.to_datetime(time_unit="us", strict=True).cast(pl.Datetime("us")), ""
        except pl.exceptions.PolarsError:
            return values, ""
    if not there.str.contains(r"\d{2}").all() or not there[:_FEW].str.contains(r"[/.\- ]").all():
        return values, ""
    fitting: list[tuple[str, pl.Series]] = []
    for day in _DAYS:
        for time in ("", *_TIMES):
            kind = pl.Datetime("us") if time else pl.Date()
            if there[:_FEW].str.strptime(kind, day + time, strict=False).null_count():
                continue
            read = values.str.strptime(kind, day + time, strict=False)
            if read.null_count() == values.null_count():
                fitting.append((day + time, read))
    if not fitting:
        return values, ""
    if len(fitting) > 1 and not fitting[0][1].equals(fitting[1][1]):
        return values, (fitting[0][0], fitting[1][0])
    return fitting[0][1], fitting[0][0]
