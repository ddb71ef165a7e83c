"""Rows set aside: what breaks a rule row by row is kept beside the batch, with the reasons, and not in it.

The batch file names the sha256 of what was set aside in its own footer, so that the identity of a batch
covers both: the same good rows beside other bad ones are other content, with verdicts of their own.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from ml_platform.datasets.derived import sha256_at
from ml_platform.datasets.store import ObjectInfo, VersionedStore
from ml_platform.foundation.errors import Corrupt, PlatformError

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

#: Column of a quarantine object with the rules that a row breaks, as a list of text.
REASONS = "quarantine_reasons"
#: In the footer of a batch file: sha256 of its quarantine object. In the object's metadata: its number of rows.
FOOTER = "ml_platform.quarantine_sha256"
COUNT = "quarantined"
#: In the object's metadata: the columns of a batch that its schema does not know, as a JSON list.
NEW_COLUMNS = "new_columns"
#: Folder of the quarantine objects, beside the batches.
FOLDER = "quarantine/"


class Separated(NamedTuple):
    """A batch divided row by row; both parts in the order of the source."""

    good: "pl.DataFrame"
    #: The rows that break a rule, with their reasons in :data:`REASONS`.
    bad: "pl.DataFrame"


def separate(
    schema: "type[pa.DataFrameModel]", frame: "pl.DataFrame", *, new_columns: Literal["accept", "refuse"] | None = None
) -> Separated:
    """Divide a batch into rows that keep every rule of ``schema`` and rows that do not.

    Where the table as a whole is broken (a column missing, unknown or of the wrong type) nothing is set aside:
    that is for the gates to refuse. Raises PlatformError where the batch has a column of the name that the
    reasons take.
    """
    import polars as pl

    from ml_platform.validation.schema import invalid_rows

    if REASONS in frame.columns:
        raise PlatformError(f"the batch has a column {REASONS!r}, which quarantine writes; rename it at the source")
    broken = invalid_rows(schema, frame, new_columns=new_columns) or {}
    reasons = pl.select(
        pl.concat_list([pl.when(rows).then(pl.lit(name)) for name, rows in broken.items()]).list.drop_nulls()
        if broken
        else pl.repeat(pl.lit([], dtype=pl.List(pl.String)), frame.height)
    ).to_series()
    bad = reasons.list.len() > 0
    return Separated(frame.filter(~bad), frame.with_columns(reasons.alias(REASONS)).filter(bad))


def quarantine_path(dataset: str, partition: str) -> str:
    """Where the rows of a partition that were set aside lie, on every branch."""
    return f"datasets/{dataset}/{FOLDER}{partition}.parquet"


def quarantined(store: VersionedStore, ref: str, dataset: str, partition: str) -> "pl.DataFrame | None":
    """The rows that were set aside from a batch, at a reference; ``None`` where there are none.

    Raises Corrupt where they are not those that the batch names.
    """
    from ml_platform.foundation.parquet import read_frame

    commit = store.resolve(ref)
    if not require_named(store, commit, dataset, partition):
        return None
    return read_frame(store.local_path(commit, quarantine_path(dataset, partition)))


def require_named(store: VersionedStore, commit: str, dataset: str, partition: str) -> bool:
    """Whether rows were set aside from a batch, at a commit.

    Raises Corrupt where another file lies there than the batch names, none, or one that no batch names.
    """
    from ml_platform.foundation.parquet import read_facts

    batch, path = f"datasets/{dataset}/{partition}.parquet", quarantine_path(dataset, partition)
    holds_batch, held = sha256_at(store, commit, batch) is not None, sha256_at(store, commit, path)
    named = read_facts(store.local_path(commit, batch)).get(FOOTER) if holds_batch else None
    if held != named:
        raise Corrupt(
            f"{path} at commit {commit} is {f'content {held[:12]}' if held else 'not there'}, but the batch names "
            f"{named[:12] if named else 'no rows that were set aside'}; stage it again"
        )
    return held is not None


def counted(store: VersionedStore, commit: str, dataset: str, partition: str) -> int:
    """How many rows lie beside a batch, at a commit; raises as :func:`require_named`."""
    from ml_platform.foundation.parquet import row_count

    if not require_named(store, commit, dataset, partition):
        return 0
    return row_count(store.local_path(commit, quarantine_path(dataset, partition)))


def count_of(info: ObjectInfo) -> int:
    """How many rows were set aside from a published or staged batch, as its object says."""
    return int(info.metadata.get(COUNT, 0))


def said_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """What the metadata of a batch's object say of what is beside it and of its columns."""
    return {name: metadata[name] for name in (COUNT, NEW_COLUMNS) if name in metadata}


def new_columns_of(info: ObjectInfo) -> tuple[str, ...]:
    """Columns of a published or staged batch that its schema does not know."""
    return tuple(json.loads(info.metadata.get(NEW_COLUMNS, "[]")))


def labels(new_columns: Iterable[str]) -> dict[str, str]:
    """Object metadata that :func:`new_columns_of` reads."""
    names = sorted(new_columns)
    return {NEW_COLUMNS: json.dumps(names)} if names else {}
