"""What was written, tried on the real rows before it is kept: schema, source, features and a quick fit."""

import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.creating.linear import linear_instead
from ml_platform.creating.plan import Plan
from ml_platform.creating.quick import QuickFit, folds, quick_fit
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.reading import one_line
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.times import comparable
from ml_platform.sources.rules import SqlSource

if TYPE_CHECKING:
    import polars as pl

#: Fewest rows with a label that are held out, in all.
_FEWEST = 20


@contextmanager
def written_aside(folder: Path, files: dict[str, str]) -> Generator[str]:
    """A package with these files, importable for the block; gives its name."""
    package = f"ml_platform_new_{sha256_bytes(str(folder) + repr(files))[:12]}"
    place = folder / package
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield package
    finally:
        sys.path.remove(str(folder))
        for module in [one for one in sys.modules if one.partition(".")[0] == package]:
            del sys.modules[module]


def context_of(dataset: str, model: str) -> ModelContext:
    """The declarations in the texts of two ``defs.yaml``."""
    import yaml
    from pydantic import ValidationError

    data, features = (document["attributes"] for document in yaml.safe_load_all(dataset))
    (declared,) = (document["attributes"] for document in yaml.safe_load_all(model))
    try:
        specs = (
            DatasetSpec.model_validate(data),
            FeatureSpec.model_validate(features),
            ModelSpec.model_validate(declared),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PlatformError(f"what would be written does not hold: {where}: {one_line(first['msg'])}") from error
    return ModelContext.of(Catalogue.of(specs), specs[-1].name)


@dataclass(frozen=True)
class Tried:
    """What the dry run saw."""

    #: Rows that keep every rule of the schema, and all.
    valid: int
    rows: int
    features: int
    #: AUC of the best single feature; 0 where there is none.
    alone: float
    fit: QuickFit
    #: What a linear model came to, where it is better.
    linear: str


def try_out(plan: Plan, context: ModelContext) -> Tried:
    """Read the source, validate, build the features and fit. Raises PlatformError for what does not work."""
    import polars as pl

    from ml_platform.features.checks import range_evidence, single_feature_auc
    from ml_platform.validation.schema import validate

    _read_back(plan, context)
    frame = plan.roles.frame
    found = validate(context.dataset.load_schema(), frame, samples=0)
    if found.broken:
        raise PlatformError(f"the schema does not fit its own rows: {found.broken[0].message}")
    features = featured(context, frame)
    empty = [name for name, one in range_evidence(features, context.names).items() if one.missing >= 1 or one.infinite]
    if empty:
        raise PlatformError(f"features {', '.join(empty)} have no finite value; leave their columns out")
    label = context.model.target
    # The gate judges each partition: what a single feature says of few rows moves.
    judged = [plan.of(features, key) for key in plan.partitions] if plan.timed else [features]
    alone = max(
        (auc for rows in judged for auc in single_feature_auc(rows, context.names, label).values()), default=0.0
    )
    if plan.timed:
        parts = (comparable(features[plan.roles.time], plan.held_out) >= plan.held_out).cast(pl.Int64).to_numpy()
    else:
        parts = folds(features, plan.roles.group)
    held = features.filter(pl.Series(parts == 1))[label].count() if plan.timed else features[label].count()
    if held < _FEWEST:
        what = f"the newest {plan.holdout} {plan.every}s have {held}" if plan.timed else f"there are {held}"
        raise PlatformError(
            f"{what} rows with a value of {plan.roles.target!r} to judge a model by, which are too few; bring {_FEWEST}"
        )
    fit = quick_fit(features, context.names, context.model, parts, timed=plan.timed)
    linear = "" if fit.noise else linear_instead(features, context.names, context.model, parts, fit, timed=plan.timed)
    return Tried(found.rows, frame.height, len(context.names), alone, fit, linear)


def featured(context: ModelContext, frame: "pl.DataFrame") -> "pl.DataFrame":
    """The features of all rows, each with the history that it may see."""
    from ml_platform.features.build import build
    from ml_platform.features.daily import daily
    from ml_platform.features.history import History

    function: Any = context.function
    tables = [daily(function, frame)] if function.histories else []
    history = History.from_tables(function, tables, context.feature_set.history_lag)
    return build(function, frame, history)


def _read_back(plan: Plan, context: ModelContext) -> None:
    """The source has to deliver the rows that were profiled: of the newest partition, or the whole."""
    import polars as pl
    from polars.testing import assert_frame_equal

    roles, source = plan.roles, context.dataset.load_source()
    names = [name for name in roles.frame.columns if name != roles.row_id]
    there = source.partitions()
    if plan.timed:
        if lacking := [name for name in plan.partitions if name not in there]:
            raise PlatformError(f"the source does not deliver {', '.join(lacking[:3])}, which the table has")
        newest = max(plan.partitions)
        expected, delivered = plan.of(roles.frame, newest), source.read(newest)
    else:
        (whole,) = there
        expected, delivered = roles.frame, source.read(whole)
    # A database gives its rows in the order of the key.
    ordered = not isinstance(context.dataset.source, SqlSource)
    try:
        assert_frame_equal(delivered.select(names), expected.select(names), check_row_order=ordered)
    except (AssertionError, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PlatformError(f"the source delivers other rows than the table has ({reason})") from error
