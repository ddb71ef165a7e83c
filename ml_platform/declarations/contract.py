"""Feature functions, and classes and tasks of models, tried on rows that the schema allows: no batch has to be read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import meant
from ml_platform.foundation.raised import raised
from ml_platform.models.task import TASKS

if TYPE_CHECKING:
    import polars as pl


def broken_contract(dataset: DatasetSpec, function: FeatureFunction) -> Iterator[str]:
    """A line for each thing in which a feature function, or a service with it, would fail on rows of a dataset."""
    from ml_platform.features.dry_run import broken
    from ml_platform.serving.schema import request_schema

    yield from broken(function, _rows(dataset))
    try:
        request_schema(function, dataset.load_schema(), dataset.added)
    except PlatformError as error:
        yield str(error)


def broken_on_rows(dataset: DatasetSpec, function: FeatureFunction) -> Iterator[str]:
    """As :func:`broken_contract` on rows of the source, where there are some on this machine."""
    from ml_platform.declarations.rows import rows_as_declared
    from ml_platform.features.dry_run import broken

    if (frame := rows_as_declared(dataset)) is not None:
        yield from (
            reason.replace("rows as the schema allows them", "rows of the source") for reason in broken(function, frame)
        )


def foreign_classes(model: ModelSpec, dataset: DatasetSpec, function: FeatureFunction) -> Iterator[str]:
    """Classes that no row of a dataset can have, and labels that are no class, where the schema lists the values."""
    import polars as pl

    from ml_platform.validation.made_up import allowed_values

    column = dataset.load_schema().to_schema().columns.get(model.target)
    if not model.classes or column is None or not allowed_values(column):
        return
    labels = function.targets(_rows(dataset))[model.target]
    values = sorted(labels.drop_nulls().cast(pl.String).unique())
    what = f"{dataset.schema_} allows {', '.join(values)}"
    for name in model.classes:
        if name not in values:
            yield f"no row can have the class {name!r}; {what}{meant(name, values)}"
    for value in values:
        if value not in model.classes:
            yield f"lacks {value!r}; {what}: declare every class, or leave its rows without a label"


def broken_task(model: ModelSpec, dataset: DatasetSpec, function: FeatureFunction) -> Iterator[str]:
    """A line for each thing in which a task of one's own would fail on labels of a dataset.

    They are those of the source, where it is on this machine; else as the schema allows them. Values that the task
    refuses, and labels that nothing can be learnt from, are no mistake of the task.
    """
    from ml_platform.declarations.rows import rows_as_declared
    from ml_platform.models.dry_run import broken

    if model.task in TASKS:
        return
    frame = rows_as_declared(dataset)
    labels = function.targets(_rows(dataset) if frame is None else frame)
    task = model.kind()
    try:
        _, y = task.labels(labels, model.target)
        task.require(y, model.target)
    except PlatformError:
        return
    except Exception as error:
        yield f"{model.task} cannot read labels: {raised(error)}"
        return
    yield from (line.removeprefix("task ") for line in broken(task, y))


def _rows(dataset: DatasetSpec) -> "pl.DataFrame":
    from ml_platform.validation.made_up import made_up

    return made_up(dataset.load_schema())
