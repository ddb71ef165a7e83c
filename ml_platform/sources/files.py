"""Batches from files in CSV or Parquet, on this machine or at an address of fsspec.

A file is known by its name and its content: one that is delivered again unchanged changes no fingerprint.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.foundation.settings import default_home
from ml_platform.foundation.times import comparable
from ml_platform.sources.columns import conform, environment, expanded, with_days
from ml_platform.sources.context import SourceContext
from ml_platform.sources.partitions import WHOLE
from ml_platform.sources.rules import FolderSource, FsspecSource

if TYPE_CHECKING:
    import polars as pl


#: Endings of files that a program is still writing, and of no table.
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
_CSV, _PARQUET = (".csv", ".csv.gz"), (".parquet",)
#: What object stores say about the content of an object, by the keys that fsspec passes on.
_CONTENT_KEYS = ("ETag", "etag", "md5Hash", "content_md5", "md5", "crc32c")
_DIGITS = {"Y": 4, "m": 2, "d": 2, "j": 3, "H": 2, "M": 2, "S": 2}


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


def _is_table(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not last.startswith((".", "_")) and not last.endswith(_UNFINISHED)


def folder_files(rule: FolderSource) -> Files:
    """The files of a folder of this machine. Raises PlatformError, when asked, where there is none."""
    root = Path(expanded(rule.path, "source.path"))
    root = root if root.is_absolute() else default_home() / root

    def names() -> list[str]:
        if not root.is_dir():
            raise PlatformError(f"source: {root} is no folder; create it or correct source.path")
        found = (path for path in root.glob(rule.pattern) if path.is_file())
        return sorted(name for path in found if _is_table(name := path.relative_to(root).as_posix()))

    def fingerprint(name: str) -> str:
        held = (root / name).stat()
        return _hashed(root / name, held.st_size, held.st_mtime_ns)

    return Files(str(root), names, fingerprint, lambda name: (root / name).open("rb"))


@lru_cache(maxsize=100_000)
def _hashed(path: Path, size: int, changed: int) -> str:
    """sha256 of a file, computed once as long as it is not touched."""
    return sha256_file(path)


def fsspec_files(rule: FsspecSource) -> Files:
    """The files at an address of fsspec. Raises PlatformError where its file system is not installed."""
    import fsspec

    secret = {option: environment(name, "source.options_env") for option, name in rule.options_env.items()}
    url = expanded(rule.url, "source.url")
    try:
        filesystem, pattern = fsspec.url_to_fs(url, **rule.options, **secret)
    except (ImportError, ValueError) as error:
        raise PlatformError(f"source.url: {url.partition('://')[0]}:// cannot be opened ({error})") from error
    hashed: dict[tuple[Any, ...], str] = {}

    def names() -> list[str]:
        # Listings are cached for the life of the process; new files would never be seen.
        filesystem.invalidate_cache()
        with _reported(url):
            return sorted(name for name in filesystem.glob(pattern) if _is_table(name) and filesystem.isfile(name))

    def fingerprint(name: str) -> str:
        with _reported(url):
            about = filesystem.info(name)
            said = {key: str(about[key]) for key in _CONTENT_KEYS if about.get(key)}
            if said:
                return sha256_bytes(canonical_json({"size": about.get("size"), **said}))
            # The local and the in-memory file system say when a file changed, and nothing of its content.
            stamp = (name, about.get("size"), str(about.get("mtime")), str(about.get("created")))
            if stamp not in hashed:
                import hashlib

                with filesystem.open(name, "rb") as stream:
                    hashed[stamp] = hashlib.file_digest(stream, "sha256").hexdigest()
            return hashed[stamp]

    return Files(url, names, fingerprint, lambda name: filesystem.open(name, "rb"))


class _reported:
    """Turn an error of a file system into one line that names the address and never a credential."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, PlatformError):
            raise PlatformError(f"source: {self.url} cannot be read ({type(error).__name__}: {error})") from error


class FileSource:
    """Partitions from files: by the date in a file's name, or by the time column of the rows."""

    def __init__(self, rule: FolderSource | FsspecSource, files: Files, context: SourceContext) -> None:
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
        names = [name for name in self.files.names() if name.endswith((*_CSV, *_PARQUET))]
        return self._table(names[-1], None, rows) if names else None

    def _members(self) -> dict[str, dict[str, str]]:
        """Partition to its files, by name with the fingerprint of each."""
        now = self.context.now()
        found: dict[str, dict[str, str]] = {}
        for name in self.files.names():
            if not name.endswith((*_CSV, *_PARQUET)):
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
                f"source: {name}: column {self.context.time} ({times.dtype}) is no date{local}; correct the file"
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
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise PlatformError(f"source: {name} in {self.files.where} cannot be read ({reason})") from error
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
