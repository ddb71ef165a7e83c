"""The rows that lie at a source on this machine, a few of them: what does not fit there is told before a run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import meant
from ml_platform.sources.rules import FolderSource

if TYPE_CHECKING:
    import polars as pl

#: Rows that are looked at.
ROWS = 200


def unlike(dataset: DatasetSpec) -> Iterator[str]:
    """A line for each thing in which the source is not as declared: no folder, no file, other columns or types.

    Warnings: where ``validate`` runs, in CI say, the data need not be.
    """
    if not isinstance(dataset.source, FolderSource):
        return
    try:
        frame = _sample(dataset)
    except PlatformError as error:
        yield str(error).removeprefix("source: ")
        return
    if frame is None:
        yield f"there is no file {dataset.source.pattern} in {dataset.source.path} yet"
        return
    yield from _unlike(dataset, frame)


def _unlike(dataset: DatasetSpec, frame: "pl.DataFrame") -> Iterator[str]:
    types = dataset.types()
    lacking = [name for name in types if name not in frame.columns]
    more = [name for name in frame.columns if name not in types]
    for name in lacking:
        yield f"its newest file has no column {name!r}{meant(name, more)}"
    if dataset.new_columns == "refuse":
        for name in more:
            if not meant(name, lacking):
                yield f"its newest file has a column {name!r}, which {dataset.schema_} does not know"
    for name, wanted in types.items():
        if name in frame.columns and frame.schema[name] != wanted:
            yield f"column {name!r} of its newest file is {frame.schema[name]}, and {wanted} in {dataset.schema_}"


def rows_as_declared(dataset: DatasetSpec) -> "pl.DataFrame | None":
    """Rows of the source, where there are some and they keep the schema; None for what else there may be."""
    from ml_platform.datasets.quarantine import separate

    if not isinstance(dataset.source, FolderSource):
        return None
    try:
        frame = _sample(dataset)
    except PlatformError:
        return None
    if frame is None or [*_unlike(dataset, frame)]:
        return None
    good = separate(dataset.load_schema(), frame, new_columns=dataset.new_columns).good
    return good if good.height else None


def _sample(dataset: DatasetSpec) -> "pl.DataFrame | None":
    from ml_platform.sources.files import FileSource

    source = dataset.load_source()
    return source.sample(ROWS) if isinstance(source, FileSource) else None
