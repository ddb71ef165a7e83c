"""The text of a CSV file before it is a table: its encoding, its separator, the names in its first line."""

import csv
import gzip
import zlib

from ml_platform.foundation.errors import PlatformError

#: Separators of CSV files, the usual one first.
SEPARATORS = (",", ";", "\t", "|")
#: First bytes of texts in UTF-16 and UTF-32.
_WIDE = (b"\xff\xfe", b"\xfe\xff")


def check_text(content: bytes, name: str) -> str:
    """The first line of a CSV file, for its names. Raises PlatformError for what is not UTF-8, in one line."""
    try:
        text = gzip.decompress(content) if name.endswith(".gz") else content
    except (OSError, EOFError, zlib.error) as error:
        raise PlatformError(f"{name}: is no whole gzip file ({error}); deliver it again") from error
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


def check_names(line: str, separator: str, name: str) -> None:
    """Raises PlatformError where two columns have one name: nobody could tell which of them is meant."""
    names = next(csv.reader([line], delimiter=separator), [])
    if twice := sorted({one for one in names if one and names.count(one) > 1}):
        raise PlatformError(f"{name}: {names.count(twice[0])} columns are called {twice[0]!r}; give each its own name")
