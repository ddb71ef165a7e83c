"""The rows that lie at a source on this machine, a few of them: what does not fit there is told before a run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.places import in_schema
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import meant
from ml_platform.sources.columns import conform
from ml_platform.sources.day_forms import fitting
from ml_platform.sources.files import FilesRule
from ml_platform.sources.folder import NoFolder
from ml_platform.sources.source import Sampled

if TYPE_CHECKING:
    import polars as pl

#: Rows that are looked at.
ROWS = 200


class Misfit(NamedTuple):
    """In what a source is not as it is declared."""

    #: The key that says otherwise.
    key: str
    reason: str
    #: Whether the declaration is wrong, whatever else comes: no batch like this one could be taken. Else a warning:
    #: the data need not be where ``validate`` runs, in CI say, and a single file may be another.
    certain: bool = False

    def placed(self, dataset: DatasetSpec) -> str:
        """The reason; of a schema with its place in the code."""
        return in_schema(dataset.schema_, self.reason) if self.key == "schema" else self.reason


def unlike(dataset: DatasetSpec) -> Iterator[Misfit]:
    """Each thing in which the source is not as declared: no folder, no file, another form, other columns or types."""
    if not (nearby := _nearby(dataset)):
        return
    yield from _unknown(dataset)
    try:
        frame = _sample(dataset)
    except NoFolder as error:
        yield Misfit("source.path", str(error).removeprefix("source: "), bool(error.near))
        return
    except PlatformError as error:
        yield Misfit("source", str(error).removeprefix("source: "), True)
        return
    if frame is None:
        yield Misfit("source", f"there is no {nearby} yet")
        return
    yield from _unlike(dataset, frame)


def _unknown(dataset: DatasetSpec) -> Iterator[Misfit]:
    """Columns that the source names and no table has."""
    known = [*dataset.types()]
    for name in getattr(dataset.source, "formats", {}):
        if name not in known:
            yield Misfit("source.formats", f"unknown column {name!r}{meant(name, known)}", True)


def _unlike(dataset: DatasetSpec, frame: "pl.DataFrame") -> Iterator[Misfit]:
    types, there = dataset.types(), frame.schema
    lacking = [name for name in types if name not in frame.columns]
    more = [name for name in frame.columns if name not in types]
    separated = next((sign for sign in ";\t|," if frame.width == 1 and sign in frame.columns[0]), "")
    if separated and lacking and isinstance(dataset.source, FilesRule):
        yield Misfit("source.separator", f"its newest file has one column only; say separator: {separated!r}", True)
        return
    for name in lacking:
        yield Misfit("source", f"its newest file has no column {name!r}{meant(name, more)}")
    if dataset.new_columns == "refuse":
        for name in more:
            if not meant(name, lacking):
                yield Misfit("source", f"its newest file has a column {name!r}, which {dataset.schema_} does not know")
    for name, wanted in types.items():
        if name in there and there[name] != wanted:
            yield _other(dataset, frame[name], wanted)
    if not lacking and all(there[name] == wanted for name, wanted in types.items()):
        yield from _kept_by_none(dataset, frame)


def _kept_by_none(dataset: DatasetSpec, frame: "pl.DataFrame") -> Iterator[Misfit]:
    """Each rule of the schema that no row of the newest file keeps."""
    from ml_platform.validation.schema import validate

    evidence = validate(dataset.load_schema(), frame, samples=0, new_columns="accept")
    for rule in evidence.broken:
        if rule.column and (rule.fatal or rule.count == frame.height > 1):
            told = rule.message if rule.fatal else f"no row keeps {rule.name}"
            said = f"column {rule.column!r} of its newest file: {told}; correct the schema, or the file"
            # A column that is empty in one file need not be in others.
            yield Misfit("schema", said, frame[rule.column].null_count() < frame.height)


def _other(dataset: DatasetSpec, values: "pl.Series", wanted: Any) -> Misfit:
    """A column of another type than declared, and the key that would have made it that type."""
    import polars as pl

    name, there, rule = values.name, values.drop_nulls(), dataset.source
    said = f"column {name!r} of its newest file is {values.dtype}, and {wanted} in {dataset.schema_}"
    if values.dtype != pl.String or not isinstance(rule, FilesRule):
        return Misfit("schema", f"{said}; correct the schema, or the file", values.dtype != pl.String)
    misfits = there.filter([conform(one.to_frame(), {name: wanted}, rule.formats, rule.decimal)[name].dtype != wanted
                            for one in (there[at : at + 1] for at in range(there.len()))])  # fmt: skip
    held = "values" if name in dataset.private() else repr(misfits[0]) if misfits.len() else "values"
    said = f"column {name!r} of its newest file holds {held} where {dataset.schema_} has {wanted}"
    if misfits.len() < there.len():
        return Misfit("source", f"{said}; correct the file")
    if wanted.is_numeric():
        other = "," if rule.decimal == "." else "."
        if conform(there.to_frame(), {name: wanted}, {}, other)[name].dtype == wanted:
            return Misfit("source.decimal", f"{said}; say decimal: {other!r}", True)
    if wanted.is_temporal():
        if name in rule.formats and conform(there.to_frame(), {name: wanted})[name].dtype == wanted:
            return Misfit("source.formats", f"{said}; it is in ISO form: leave it out of formats", True)
        forms = [
            form for form, _ in fitting(there, times=wanted != pl.Date)
            if conform(there.to_frame(), {name: wanted}, {name: form})[name].dtype == wanted
        ]  # fmt: skip
        way = f'formats: {{{name}: "{forms[0]}"}}' if len(forms) == 1 else "in formats how they stand, as for strptime"
        return Misfit("source.formats", f"{said}; say {way}", True)
    return Misfit("schema", f"{said}; correct the schema, or the file", True)


def rows_as_declared(dataset: DatasetSpec) -> "pl.DataFrame | None":
    """Rows of the source, where there are some and they keep the schema; None for what else there may be."""
    from ml_platform.datasets.quarantine import separate

    if not _nearby(dataset):
        return None
    try:
        frame = _sample(dataset)
    except PlatformError:
        return None
    if frame is None or [*_unlike(dataset, frame)]:
        return None
    good = separate(dataset.load_schema(), frame, new_columns=dataset.new_columns).good
    return good if good.height else None


def _nearby(dataset: DatasetSpec) -> str:
    return "" if isinstance(dataset.source, str) else dataset.source.nearby


def _sample(dataset: DatasetSpec) -> "pl.DataFrame | None":
    source = dataset.load_source()
    return source.sample(ROWS) if isinstance(source, Sampled) else None
