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
from ml_platform.creating.quick import QuickFit, best_fit, folds, quick_fit
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.reading import one_line
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.times import comparable
from ml_platform.sources.sql import SqlSource

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Fewest rows with a label that are held out, in all.
_FEWEST = 20
#: Rows from which on the ones that are held out say enough, so that there is one fit and not one for each fold.
_MANY = 20_000
#: A column that no table has.
_CLUSTER = "\x00cluster"


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
    #: What is to be expected of the recipe, on all rows where they are few; and the first model, on the rows that it is
    #: to be judged by. One and the same with time.
    fit: QuickFit
    first: QuickFit
    #: Rounds of training that did best; ``None`` where the trainer has none.
    rounds: int | None
    #: What a linear model came to, where it is better.
    linear: str

    @property
    def noise(self) -> bool:
        """Whether no gate could tell the first model from one that knows nothing."""
        return self.fit.noise or self.first.worthless


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
    held = _held_out(plan, features, context)
    labelled = features.filter(pl.Series(held == 1))[label].count()
    if labelled < _FEWEST:
        what = f"the newest {plan.holdout} {plan.every}s have {labelled}" if plan.timed else f"{labelled} are held out:"
        raise PlatformError(
            f"{what} rows with a value of {plan.roles.target!r} to judge a model by, which are too few; bring {_FEWEST}"
        )
    once = plan.timed or features.height > _MANY
    parts = held if once else folds(features, plan.roles.group)
    cluster = _CLUSTER if plan.timed or plan.roles.group else ""
    if cluster:
        features = features.with_columns(_together(plan).alias(_CLUSTER))
    spec = context.model
    fit, rounds = best_fit(features, context.names, spec, parts, once=once, rows=labelled, cluster=cluster)
    linear = "" if fit.noise else linear_instead(features, context.names, spec, parts, fit, once=once)
    first = fit if once else quick_fit(features, context.names, spec, held, once=True, cluster=cluster, rounds=rounds)
    return Tried(found.rows, frame.height, len(context.names), alone, fit, first, rounds, linear)


def _held_out(plan: Plan, features: "pl.DataFrame", context: ModelContext) -> "np.ndarray":
    """1 for each row that the declared split holds out, else 0: (rows,)."""
    import polars as pl

    from ml_platform.features.parts import place

    if plan.timed:
        newest = comparable(features[plan.roles.time], plan.held_out) >= plan.held_out
        return newest.cast(pl.Int64).to_numpy()
    by = plan.roles.group or tuple(context.function.key)
    return (place(features, by, context.model.name) < context.model.split.share).astype(int)


def _together(plan: Plan) -> "pl.Expr":
    """What rows have in common that belong together: the day, of hours the hour; without time the group."""
    import polars as pl

    if not plan.timed:
        return pl.struct(*plan.roles.group).hash(0)
    return pl.col(plan.roles.time).dt.truncate("1h" if plan.every == "hour" else "1d")


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
