"""Reads a stranger's table, and finds out of which types its columns are: numbers, dates and truths in text too."""

import gzip
import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import plainly_read
from ml_platform.sources.context import SourceContext
from ml_platform.sources.detection import detected, typed
from ml_platform.sources.files import Files, FilesRule
from ml_platform.sources.number_texts import odd_numbers
from ml_platform.sources.opening import find_table
from ml_platform.sources.partitions import WHOLE, Partitions
from ml_platform.sources.source_rule import Found
from ml_platform.sources.stray_texts import stray, told_cells
from ml_platform.sources.text_files import names_in, separator_of, text_table

if TYPE_CHECKING:
    import polars as pl


#: How a row of sums begins.
_SUM = re.compile(
    r"(grand[ _])?(sub)?totals?\b|sums?\b|summe\b|gesamt(summe|betrag)?\b|insgesamt|somme\b|totale\b|suma\b|totaal\b",
    re.I,
)
#: Files beside the one that was named that are looked at, at most.
_OTHERS = 200


@dataclass
class Table:
    """A table as its source will deliver it."""

    #: As its kind of source found it.
    found: Found
    #: Typed rows: Int64, Float64, Boolean, String, Date or Datetime in microseconds.
    frame: "pl.DataFrame"
    #: Keys of the declared source that its rows need to be read so.
    keys: dict[str, Any]
    #: Number of files.
    files: int
    #: What was guessed on the way, one sentence each.
    notes: list[str] = field(default_factory=list)
    #: Columns of text whose dates may be read in two ways, with both forms.
    unclear: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Columns of text that hold numbers in a form that is not read, with what to do about it.
    odd: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called: file or folder without ending, or its name in a database."""
        return self.found.name

    @property
    def source(self) -> dict[str, Any]:
        """The declared source, as far as it is known without its roles."""
        return {**self.found.declared, **self.keys}


def read_table(where: str, root: Path, url_env: str = "", now: datetime | None = None) -> Table:
    """The table that a kind of source finds at a path or an address (:func:`~ml_platform.sources.opening.find_table`).

    ``root`` is the project's folder, below which paths are declared. Raises PlatformError for what is no table.
    """
    found = find_table(where, root, url_env)
    if isinstance(found.rule, FilesRule):
        return _of_files(where, found, found.rule.files())
    return _of_rows(where, found, now or now_utc())


def _of_files(where: str, table: Found, files: Files) -> Table:
    """All rows of files, CSV typed by what stands there."""
    import polars as pl

    names = files.names()
    if not names:
        raise PlatformError(
            f"{where}: there is no CSV or Parquet file here; put one there, and run ml-platform new again"
        )
    raw, more = _read(files, names)
    _require_table(where, raw)
    if odd := [column for column in raw.columns if not column.strip() or "\n" in column]:
        raise PlatformError(f"{where}: {_unnamed(raw.columns, odd)}")
    if total := _totals(raw):
        raise PlatformError(f"{where}: {total}")
    seen = detected(raw, more.get("separator", ","))
    more |= seen.options()
    odd = {one.name: why for one in seen.typed if one.dtype == pl.String and (why := odd_numbers(one) or _strays(one))}
    made = Table(table, seen.typed, more, len(names), seen.notes, seen.unclear, odd)
    made.notes += _beside(Path(where), raw.columns)
    if os.path.isabs(folder := str(made.source.get("path", ""))):
        variable = f"{re.sub(r'[^A-Z0-9]+', '_', made.name.upper()).strip('_')}_FOLDER"
        made.notes.append(
            f"{folder} is outside of the project: where it lies elsewhere on another machine, write path: ${variable} "
            "into the source in defs.yaml, and set that variable"
        )
    return made


def _unnamed(columns: list[str], odd: list[str]) -> str:
    """What is wrong with names of columns, and how it may have come to be."""
    told = f"a column has no name (found {odd[0]!r})"
    if odd == columns[:1]:
        return "the first column has no name, as pandas writes an index; write it with index=False, or give it a name"
    if odd == columns[-1:]:
        return (
            "the last column has no name, as a separator at the end of each line makes one; give it one, or take it out"
        )
    return f"{told}; give every column one in the first line"


def _totals(raw: "pl.DataFrame") -> str:
    """What is wrong where the last row is the sum of the others, as sheets have it; empty where it is not."""
    last = raw.row(raw.height - 1)
    there = [one for one in last if one is not None]
    word = next((one for one in there if isinstance(one, str) and _SUM.match(one.strip())), "")
    usual = raw.head(-1).null_count().row(0)
    # What else is empty there is so in hardly any other row.
    lacking = sum(one is None and count <= 0.05 * raw.height for one, count in zip(last, usual, strict=True))
    if not word or not lacking:
        return ""
    return f"its last row, {word.strip()!r}, holds sums of the others and is no row like them; take it out of the file"


def _beside(path: Path, columns: list[str]) -> list[str]:
    """Files of the same columns in the folder of one that was named: they are no part of the table."""
    if not path.is_file():
        return []
    ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    others = [one for one in sorted(path.parent.glob(f"*{ending}")) if one.name != path.name][:_OTHERS]
    alike = [one.name for one in others if _columns(one) == columns]
    if not alike:
        return []
    more, verbs = (f" and {len(alike) - 1} more", "have {} but are") if len(alike) > 1 else ("", "has {} but is")
    return [
        f"{alike[0]!r}{more} beside {path.name!r} {verbs.format('the same columns')} not read; "
        f"to read all of them give the folder, {str(path.parent)!r}"
    ]


def _columns(path: Path) -> list[str]:
    """The columns of a file; none where it is no table."""
    import polars as pl

    try:
        if path.suffix == ".parquet":
            return list(pl.read_parquet_schema(path))
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            line = stream.readline().decode("utf-8-sig").rstrip("\r\n")
        return names_in(line, separator_of(line))
    except (OSError, UnicodeDecodeError, EOFError, pl.exceptions.PolarsError):
        return []


def _strays(values: "pl.Series") -> str:
    """What a column holds that would be one of numbers or days but for a few cells."""
    found = stray(values)
    count = sum(map(len, found.values()))
    if not found:
        return ""
    rows = "1 row" if count == 1 else f"{count} rows"
    return f"numbers or days in all but {rows}: {told_cells(found)}; correct these cells, or leave them empty"


def _of_rows(where: str, table: Found, now: datetime) -> Table:
    """All rows of any other source, which have types."""
    import polars as pl

    context = SourceContext(table.name, (), "", Partitions.model_validate("none"), dict, lambda: now)
    raw = table.rule.open(context).read(WHOLE)
    _require_table(where, raw)
    found, notes = {}, []
    for column in raw.columns:
        values, form = typed(raw[column])
        if form:
            notes.append(f"{column!r} holds dates that are not ISO: it is kept as text; convert it in a query")
        found[column] = raw[column] if form else values
    return Table(table, pl.DataFrame(found), {}, 1, notes)


def _require_table(where: str, raw: "pl.DataFrame") -> None:
    if raw.height < 2 or raw.width < 2:
        raise PlatformError(f"{where}: {raw.height} rows of {raw.width} columns are no table to learn from")


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
                frame, separator = text_table(stream.read(), name, more.get("separator"))
                frames.append(frame)
                if separator != ",":
                    more["separator"] = separator
        except (pl.exceptions.PolarsError, OSError) as error:
            raise PlatformError(f"{name}: cannot be read as a table ({plainly_read(error)})") from error
        if frames[-1].columns != frames[0].columns:
            odd = sorted({*frames[-1].columns} ^ {*frames[0].columns}) or ["another order"]
            raise PlatformError(f"{name}: its columns differ from those of {names[0]}: {', '.join(odd[:5])}")
    return pl.concat(frames, how="vertical_relaxed"), more
