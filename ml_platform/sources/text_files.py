"""The text of a CSV file before it is a table: its encoding, its separator, the names in its first line."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl

#: Separators of CSV files, the usual one first.
SEPARATORS = (",", ";", "\t", "|")
#: Bytes in which lines above the names are looked for, and lines that may be there.
_HEAD, _ABOVE = 20_000, 5
#: First bytes of texts in UTF-16 and UTF-32.
_WIDE = (b"\xff\xfe", b"\xfe\xff")
#: First bytes of what is no text, what it is, and what to do with it.
_OTHERS = (
    (b"PK\x03\x04", "is an Excel workbook or a zip archive; save the sheet as 'CSV UTF-8', or unpack it: unzip {name}"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save the sheet as 'CSV UTF-8'"),
    (b"\x1f\x8b", "is a gzip file; name it {name}.gz"),
    (b"PAR1", "is a Parquet file; give its name the ending .parquet"),
    (b"SQLite format 3\x00", "is a SQLite database; put sqlite:///{name} into a variable, and name it: --url-env"),
)


def text_table(
    content: bytes, name: str, separator: str | None = None, missing: Sequence[str] = ("",)
) -> "tuple[pl.DataFrame, str]":
    """The rows of a CSV file, every value as text, and its separator; found where none is given.

    Raises PlatformError for what is no such file, and lets through what polars raises of one.
    """
    import polars as pl

    first = check_text(content, name)
    if told := _title(content, name):
        raise PlatformError(f"{name}: {told}")
    separator = separator or separator_of(first)
    check_names(first, separator, name)
    try:
        return pl.read_csv(content, infer_schema=False, separator=separator, null_values=[*missing]), separator
    except pl.exceptions.PolarsError:
        if told := odd_line(content, separator, name):
            raise PlatformError(f"{name}: {told}") from None
        raise


def _title(content: bytes, name: str) -> str:
    """What is wrong where lines without any separator stand above the names of the columns; empty where none do."""
    head = gzip.GzipFile(fileobj=io.BytesIO(content)).read(_HEAD) if name.endswith(".gz") else content[:_HEAD]
    lines = head.decode("utf-8-sig", errors="ignore").splitlines()[:-1]
    if len(lines) < 4:
        return ""
    if any(one in lines[0] for one in SEPARATORS):
        return _padded(lines)
    for separator in SEPARATORS:
        counts = [line.count(separator) for line in lines]
        at = next((place for place, count in enumerate(counts) if count), 0)
        if 0 < at <= _ABOVE and len(counts) >= at + 3 and len(set(counts[at : at + 3])) == 1:
            return _lie_above(at, lines[0].strip())
    return ""


def _padded(lines: list[str]) -> str:
    """The same where they are a sheet's, with as many separators as every other line."""
    separator = separator_of(lines[0])
    fields = [names_in(line, separator) for line in lines[: _ABOVE + 1]]
    there = [sum(map(bool, map(str.strip, row))) for row in fields]
    at = next((place for place, count in enumerate(there) if count == len(fields[0])), 0)
    if len(fields[0]) > 2 and at and max(there[:at]) <= 1:
        return _lie_above(at, next((one for one in fields[0] if one.strip()), ""))
    return ""


def _lie_above(at: int, first: str) -> str:
    lie = "1 line lies" if at == 1 else f"{at} lines lie"
    return f"{lie} above the names of the columns, {first!r} first; take what is above line {at + 1} out"


def check_text(content: bytes, name: str) -> str:
    """The first line of a CSV file, for its names. Raises PlatformError for what is not UTF-8, in one line."""
    try:
        text = gzip.decompress(content) if name.endswith(".gz") else content
    except (OSError, EOFError, zlib.error) as error:
        raise PlatformError(f"{name}: is no whole gzip file ({error}); deliver it again") from error
    if not text.strip():
        raise PlatformError(f"{name}: is empty; deliver it with its column names and rows")
    if why := next((why for first, why in _OTHERS if text.startswith(first)), ""):
        raise PlatformError(f"{name}: {why.format(name=name)}")
    if re.match(rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[{\[])", text):
        raise PlatformError(f"{name}: is JSON; deliver it as CSV or Parquet")
    if text.startswith(_WIDE) or b"\x00" in text[:1_000]:
        raise PlatformError(
            f"{name}: is UTF-16, as Excel writes 'Unicode text', and not UTF-8; save it as 'CSV UTF-8', or convert it: "
            f"iconv -f UTF-16 -t UTF-8 {name} > utf8.csv"
        )
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        word = text[max(0, error.start - 8) : error.start + 8].decode("cp1252", errors="replace").split("\n")[-1]
        raise PlatformError(
            f"{name}: line {line} is not UTF-8 ({word.strip()!r} if it is Windows-1252 or Latin-1); save it as 'CSV "
            f"UTF-8', or convert it: iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8.csv"
        ) from error
    return decoded[: decoded.find("\n")].rstrip("\r") if "\n" in decoded else decoded


def separator_of(line: str) -> str:
    """The separator that stands most often in the first line."""
    return max(SEPARATORS, key=lambda one: (line.count(one), -SEPARATORS.index(one)))


def names_in(line: str, separator: str) -> list[str]:
    """The names in the first line of a CSV file."""
    return next(csv.reader([line], delimiter=separator), [])


def check_names(line: str, separator: str, name: str) -> None:
    """Raises PlatformError where two columns have one name: nobody could tell which of them is meant."""
    names = names_in(line, separator)
    if twice := sorted({one for one in names if one and names.count(one) > 1}):
        raise PlatformError(f"{name}: {names.count(twice[0])} columns are called {twice[0]!r}; give each its own name")


def odd_line(content: bytes, separator: str, name: str) -> str:
    """Of a CSV file that cannot be read: the first line with more fields than the first one; empty where none has."""
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    width = 0
    try:
        for fields in reader:
            width = width or len(fields)
            if len(fields) > width:
                return (
                    f"line {reader.line_num} has {len(fields)} fields, the first has {width}; quote values that hold "
                    f"{separator!r}"
                )
    except csv.Error:
        pass
    return ""
