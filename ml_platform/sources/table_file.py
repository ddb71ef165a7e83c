"""A file of somebody's own with the columns of a declared dataset: read as its source is, or else as it is written."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import conform
from ml_platform.sources.detection import detected
from ml_platform.sources.files import FilesRule
from ml_platform.sources.text_files import check_text, names_in, text_table

if TYPE_CHECKING:
    import polars as pl

#: Endings of files that are tables.
TABLES = (".csv", ".csv.gz", ".parquet", ".pq")


def content_of(where: str) -> bytes:
    """The bytes of a path, or of an address of fsspec. Raises PlatformError where they cannot be read."""
    import fsspec

    try:
        with fsspec.open(where, "rb") as stream:
            return stream.read()  # type: ignore[union-attr]
    except (OSError, ValueError, ImportError) as error:
        raise PlatformError(f"{where} cannot be read ({type(error).__name__}: {error})") from error


def read_table_file(
    content: bytes, where: str, source: object, types: Mapping[str, Any]
) -> "tuple[pl.DataFrame, dict[str, Any]]":
    """The rows of a CSV or Parquet file with the wanted types, and how they were read where not as declared.

    A CSV file is read with separator, decimal sign, forms of dates and missing values of the declared ``source``; where
    its columns are not found by that, or their values do not become what is wanted, as the file itself shows. A column
    that cannot be read stays text. Raises PlatformError for what is no table, and for dates that may be two days.
    """
    import polars as pl

    name = where.rpartition("/")[2]
    try:
        if name.lower().endswith(TABLES[2:]):
            from io import BytesIO

            return conform(pl.read_parquet(BytesIO(content)), types), {}
        first, declared = check_text(content, name), None
        if isinstance(source, FilesRule) and {*types} <= {*names_in(first, source.separator)}:
            raw, _ = text_table(content, name, source.separator, source.missing)
            declared = conform(raw, types, source.formats, source.decimal)
            if not _unread(declared, types):
                return declared, {}
        raw, separator = text_table(content, name)
    except pl.exceptions.PolarsError as error:
        raise PlatformError(f"{where} is no table: {str(error).strip().splitlines()[0]}") from error
    found = detected(raw, separator)
    for column, forms in found.unclear.items():
        if types.get(column) is not None and types[column].is_temporal():
            raise PlatformError(
                f"{where}: dates of {column!r} can be read as {' or '.join(forms)}; write them in ISO form (2024-12-31)"
            )
    own = conform(found.raw, types, found.formats, "," if found.comma else ".")
    if declared is not None and len(_unread(own, types)) >= len(_unread(declared, types)):
        return declared, {}
    return own, {**({} if separator == "," else {"separator": separator}), **found.options()}


def _unread(frame: "pl.DataFrame", types: Mapping[str, Any]) -> list[str]:
    """Columns that are still text, and should be something else."""
    import polars as pl

    return [name for name, wanted in types.items() if frame.schema.get(name) == pl.String != wanted]
