"""Parquet files that are byte-equal for equal frames and whose damage is noticed when they are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import Corrupt, PlatformError
from ml_platform.foundation.files import replacing, sha256_file

if TYPE_CHECKING:
    import polars as pl

#: Rows per row group: a frame is converted, written and read in pieces of this height.
ROWS_PER_GROUP = 1 << 18


def write_frame(frame: "pl.DataFrame", path: Path, facts: Mapping[str, str] | None = None) -> str:
    """Write ``frame`` atomically as Parquet (zstd, with page checksums); returns the file's sha256.

    Equal frames and ``facts`` (kept in the file's footer, and so part of its identity) give equal bytes with one
    version of pyarrow, however the frames are chunked. Raises PlatformError for a Categorical column: its codes
    depend on what else the process has read.
    """
    import polars as pl
    import pyarrow.parquet as pq

    unstable = [name for name, kind in frame.schema.items() if _holds(kind, (pl.Categorical, pl.Object))]
    if unstable:
        raise PlatformError(
            f"columns {', '.join(unstable)} cannot be stored with reproducible bytes: "
            "cast Categorical or Object to String or Enum"
        )

    def piece(offset: int) -> Any:
        return frame.slice(offset, ROWS_PER_GROUP).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())

    with replacing(path) as temporary:
        first = piece(0)
        with pq.ParquetWriter(
            temporary,
            first.schema.with_metadata(dict(sorted(facts.items())) if facts else None),
            compression="zstd",
            write_page_checksum=True,
        ) as writer:
            writer.write_table(first)
            for offset in range(ROWS_PER_GROUP, frame.height, ROWS_PER_GROUP):
                writer.write_table(piece(offset))
        return sha256_file(temporary)


def read_facts(path: Path) -> dict[str, str]:
    """The facts that :func:`write_frame` kept in the file's footer."""
    import pyarrow.parquet as pq

    held = pq.read_metadata(path).metadata or {}
    return {key.decode(): value.decode() for key, value in held.items() if key != b"ARROW:schema"}


def row_count(path: Path) -> int:
    """Rows of a file of :func:`write_frame` whose bytes a store verified: its footer says, and nothing else is read."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _holds(kind: Any, unwanted: tuple[Any, ...]) -> bool:
    """Whether a polars type is, or contains, one of the unwanted ones."""
    inner = [field.dtype for field in getattr(kind, "fields", [])]
    if getattr(kind, "inner", None) is not None:
        inner.append(kind.inner)
    return kind.base_type() in unwanted or any(_holds(part, unwanted) for part in inner)


def read_frame(path: Path, columns: Sequence[str] | None = None, *, sha256: str | None = None) -> "pl.DataFrame":
    """Read a file of :func:`write_frame`, all columns or those named, in the order named.

    Every page is checked against its checksum. The footer (names, types, statistics) has none: give
    ``sha256`` where the file was not verified by a store, so that all of it is checked first. Raises
    Corrupt for a damaged file and PlatformError for a column that the file does not have.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sha256 and (actual := sha256_file(path)) != sha256:
        raise Corrupt(f"{path} has sha256 {actual}, expected is {sha256}; restore it from a copy")
    damaged = (pa.ArrowException, OSError, UnicodeDecodeError, pl.exceptions.PolarsError)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if missing := [name for name in columns or () if name not in names]:
                raise PlatformError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}")
            wanted = list(columns) if columns is not None else names
            pieces = [
                pl.DataFrame(file.read_row_group(group, columns=wanted)).select(wanted)
                for group in range(file.metadata.num_row_groups)
            ]
    except FileNotFoundError:
        raise
    except (*damaged, pl.exceptions.PanicException) as error:
        raise Corrupt(f"{path} is damaged: {error}; restore it from a copy or write it again") from error
    return pl.concat(pieces)
