"""Batches from files in CSV or Parquet, wherever they are listed and read.

A file is known by its name and its content: one that is delivered again unchanged changes no fingerprint.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ml_platform.foundation.errors import DeclarationError, MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.times import comparable
from ml_platform.sources.columns import conform, plainly_read, with_days
from ml_platform.sources.context import SourceContext
from ml_platform.sources.partitions import WHOLE
from ml_platform.sources.source_rule import SourceRule

if TYPE_CHECKING:
    import polars as pl


#: Endings of files that a program is still writing, and of no table.
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
_CSV, _PARQUET = (".csv", ".csv.gz"), (".parquet",)
#: Endings of tables.
ENDINGS = (*_CSV, *_PARQUET)
_DIGITS = {"Y": 4, "m": 2, "d": 2, "j": 3, "H": 2, "M": 2, "S": 2}


def without_ending(name: str) -> str:
    """A file's name without the ending of a table."""
    return re.sub(r"\.(csv|csv\.gz|parquet)$", "", name)


def by_time(_: str) -> dict[str, Any]:
    """Keys of ``source`` that divide the rows of files by the time in them."""
    return {"by": "time"}


class FilesRule(SourceRule, ABC):
    """Files in CSV or Parquet, told apart by their endings."""

    #: Which partition a file belongs to. ``name``: to the one whose date its name holds (see ``date_format``);
    #: several files of one partition are joined in the order of their names. ``time``: its rows are divided by the
    #: dataset's time column. Without partitions all files are one table, and it is left out.
    by: Literal["name", "time"] | None = None
    #: With ``by: name``: how the date stands in the name, as for ``strptime``, e.g. ``%Y-%m-%d``, ``%Y%m``; with hourly
    #: partitions the hour in UTC, ``%Y-%m-%dT%H``.
    date_format: str | None = None
    #: Texts of CSV files that mean a missing value.
    missing: tuple[str, ...] = ("",)
    #: Separator of CSV files.
    separator: str = Field(",", min_length=1, max_length=1)
    #: Sign before the fraction of numbers in CSV files; with ``,`` points stand between thousands: ``1.234,5``.
    decimal: Literal[".", ","] = "."
    #: How dates and times stand in a text column that is not in ISO form, as for ``strptime``: ``{sold: "%d/%m/%Y"}``.
    formats: dict[str, str] = Field({})
    #: Columns to add with the day of a timestamp: ``{day: picked_up_at}``.
    days: dict[str, str] = Field({})
    #: Name of a column to add that identifies rows without a key: file and position in it, ``sales.csv:17``.
    row_id: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _format_given(self) -> "FilesRule":
        if (self.by == "name") != (self.date_format is not None):
            raise ValueError("date_format: by: name needs it, nothing else takes it")
        if self.date_format is not None and "%Y" not in self.date_format:
            raise ValueError("date_format: it needs at least the year, %Y")
        return self

    @abstractmethod
    def files(self) -> "Files":
        """Where the files are listed and read. Raises PlatformError where nothing can be."""

    def open(self, context: SourceContext) -> "FileSource":
        """Partitions from the files. Raises DeclarationError where ``by`` does not fit the dataset's partitions."""
        timed = context.partitions.timed
        if timed and self.by is None:
            raise DeclarationError(
                "source: by is missing: take `time` (rows go by their day) or `name` (the date in a file's name)"
            )
        if not timed and self.by is not None:
            raise DeclarationError(f"source: by: {self.by} divides by time, and there are no partitions; remove it")
        if context.partitions.hourly and self.by == "name" and "%H" not in (self.date_format or ""):
            raise DeclarationError("source: date_format needs the hour, %H, with hourly partitions")
        return FileSource(self, self.files(), context)


@dataclass(frozen=True)
class Files:
    """Where files are listed and read."""

    #: Where it is, for messages.
    where: str
    #: Names of the files there now, sorted.
    names: Callable[[], list[str]]
    #: Identity of a file's content.
    fingerprint: Callable[[str], str]
    #: A file, opened for reading.
    open: Callable[[str], IO[bytes]]


def is_table(name: str) -> bool:
    """Whether a file is one of a delivery: neither hidden nor still being written."""
    last = name.rpartition("/")[2]
    return not last.startswith((".", "_")) and not last.endswith(_UNFINISHED)


class FileSource:
    """Partitions from files: by the date in a file's name, or by the time column of the rows."""

    def __init__(self, rule: FilesRule, files: Files, context: SourceContext) -> None:
        self.rule, self.files, self.context = rule, files, context
        self._begun: dict[tuple[str, str], tuple[date, ...]] = {}

    def partitions(self) -> dict[str, str]:
        """Partitions that have files (or rows) and whose time has ended, with the hash of names and contents."""
        return {
            partition: sha256_bytes(canonical_json(members)) for partition, members in sorted(self._members().items())
        }

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of a partition's files, in the order of the names and then of the rows.

        Raises PlatformError where a file cannot be read, changes meanwhile, or has other columns than the others.
        """
        import polars as pl

        members = self._members().get(partition)
        if members is None:
            raise MissingReference(f"{self.context.name}: {self.files.where} has nothing for partition {partition}")
        frames = {name: self._rows(name, partition) for name in members}
        if changed := [name for name, seen in members.items() if self.files.fingerprint(name) != seen]:
            raise PlatformError(f"{self.context.name}: {', '.join(changed)} changed while being read; try again")
        first = next(iter(frames))
        for name, frame in frames.items():
            if frame.schema != frames[first].schema:
                odd = sorted({*frame.schema.items()} ^ {*frames[first].schema.items()}, key=str)
                about = f"columns differ: {', '.join(f'{column} {kind}' for column, kind in odd)}" if odd else "order"
                raise PlatformError(f"{self.context.name}/{partition}: {name} does not fit {first} ({about})")
        return pl.concat(frames.values())

    def sample(self, rows: int) -> "pl.DataFrame | None":
        """The first rows of the last file by name, as :meth:`read` has them; None where there is no file yet.

        Raises PlatformError where there is no folder, or the file cannot be read.
        """
        names = [name for name in self.files.names() if name.endswith(ENDINGS)]
        return self._table(names[-1], None, rows) if names else None

    def _members(self) -> dict[str, dict[str, str]]:
        """Partition to its files, by name with the fingerprint of each."""
        now = self.context.now()
        found: dict[str, dict[str, str]] = {}
        for name in self.files.names():
            if not name.endswith(ENDINGS):
                raise PlatformError(
                    f"source: {name} is neither CSV nor Parquet; narrow the pattern of {self.files.where}"
                )
            seen = self.files.fingerprint(name)
            if not self.context.partitions.timed:
                found.setdefault(WHOLE, {})[name] = seen
                continue
            begun = (self._named(name),) if self.rule.by == "name" else self._begun_in(name, seen)
            for partition in {self.context.partitions.holding(one, now) for one in begun} - {""}:
                found.setdefault(partition, {})[name] = seen
        return found

    def _named(self, name: str) -> date:
        """The day, or with hourly partitions the hour, that a file's name holds."""
        form = self.rule.date_format or ""
        digits = re.sub(
            r"%(.)|[^%]+",
            lambda match: rf"\d{{{_DIGITS[match[1]]}}}" if match[1] in _DIGITS else re.escape(match[0]),
            form,
        )
        last = name.rpartition("/")[2]
        found = re.search(rf"(?<!\d)(?:{digits})(?!\d)", last)
        try:
            if found is None:
                raise ValueError("none found")
            moment = datetime.strptime(found[0], form).replace(tzinfo=UTC)
            return moment if self.context.partitions.hourly else moment.date()
        except ValueError as error:
            raise PlatformError(
                f"source: the name {last!r} holds no date of the form {form} ({error}); rename the file, or narrow "
                "the pattern"
            ) from None

    def _begun_in(self, name: str, seen: str) -> tuple[date, ...]:
        """The days, or with hourly partitions the hours, of a file's rows; read once for each content."""
        if (name, seen) not in self._begun:
            times = self._times(self._table(name, [self.context.time]), name)
            hours = times.dt.truncate("1h") if self.context.partitions.hourly else times
            self._begun[name, seen] = tuple(hours.unique().sort())
        return self._begun[name, seen]

    def _times(self, frame: "pl.DataFrame", name: str) -> "pl.Series":
        times = frame[self.context.time]
        if not times.dtype.is_temporal():
            zone = getattr(self.context.types().get(self.context.time), "time_zone", None)
            local = (
                f", or is no hour in {zone}: what a change of clocks skips or repeats needs an offset" if zone else ""
            )
            raise PlatformError(
                f"source: {name}: column {self.context.time} ({times.dtype}) is no date{local}; correct the file, or "
                "say in source.formats how its dates stand"
            )
        if times.null_count():
            raise PlatformError(
                f"source: {name}: {times.null_count()} rows have no {self.context.time} and belong to no partition; "
                "correct the file"
            )
        return comparable(times, self.context.partitions.start)

    def _rows(self, name: str, partition: str) -> "pl.DataFrame":
        frame = self._table(name, None)
        if self.rule.by != "time":
            return frame
        first, after = self.context.partitions.window(partition)
        times = self._times(frame, name)
        return frame.filter((times >= first) & (times < after))

    def _table(self, name: str, columns: list[str] | None, rows: int | None = None) -> "pl.DataFrame":
        import polars as pl

        added = self.rule.days
        wanted = None if columns is None else [added.get(column, column) for column in columns]
        try:
            with self.files.open(name) as stream:
                if name.endswith(_PARQUET):
                    frame = pl.read_parquet(stream, columns=wanted, n_rows=rows)
                else:
                    # As text: types guessed from the first rows differ from month to month.
                    frame = pl.read_csv(
                        stream.read() if rows is None else _head(stream, name, rows),
                        columns=wanted,
                        infer_schema=False,
                        null_values=list(self.rule.missing),
                        separator=self.rule.separator,
                    )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise PlatformError(
                f"source: {name} in {self.files.where} cannot be read ({plainly_read(error)}); correct the file, or "
                "take it out of the pattern"
            ) from error
        taken = [column for column in (*added, *filter(None, [self.rule.row_id])) if column in frame.columns]
        if taken:
            raise PlatformError(f"source: {name} has a column {taken[0]!r} already; give the added one another name")
        frame = conform(frame, self.context.types(), self.rule.formats, self.rule.decimal)
        if self.rule.row_id is not None and columns is None:
            # By name and position: the same row keeps it whatever is corrected in it or appended behind it.
            position = pl.int_range(1, frame.height + 1).cast(pl.String)
            frame = frame.with_columns(pl.concat_str([pl.lit(f"{name}:"), position]).alias(self.rule.row_id))
        return with_days(frame, added)


def _head(stream: IO[bytes], name: str, rows: int) -> bytes:
    """The first lines of a CSV file, and not all of a large one."""
    import gzip

    lines = gzip.GzipFile(fileobj=stream) if name.endswith(".gz") else stream
    return b"".join(line for line, _ in zip(lines, range(rows + 1), strict=False))
