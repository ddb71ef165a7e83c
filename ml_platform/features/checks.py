"""Evidence for the gates on features: ranges, single features that say too much, the same features in serving."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_platform.features.build import bits, featurize, matrix
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.history import History
from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class RangeEvidence:
    """Values of one feature in a built frame."""

    #: Share of rows that are null or NaN, 0 to 1.
    missing: float
    #: Values that are NaN rather than null: a result without meaning, such as 0/0.
    nan: int
    infinite: int
    #: Over finite values; None where there are none.
    min: float | None
    max: float | None
    #: At most one distinct value, missing included.
    constant: bool


@dataclass(frozen=True)
class ParityEvidence:
    """Features of single requests against those of the built frame, bit for bit."""

    rows: int
    #: Feature to the number of sampled rows in which it differs.
    different: dict[str, int]
    #: Largest absolute difference over all values; infinite where only one side is missing.
    largest: float
    #: Why the serving path failed, if it did: one line; the features were then not compared.
    error: str = ""

    @property
    def equal(self) -> bool:
        """Whether every sampled row gave the same bits."""
        return not self.different and not self.error


def range_evidence(frame: "pl.DataFrame", names: Sequence[str]) -> dict[str, RangeEvidence]:
    """:class:`RangeEvidence` of each feature. Raises :class:`PlatformError` without rows."""
    import polars as pl

    if not frame.height:
        raise PlatformError("ranges of features without rows are undefined; check the volume of the batch first")
    features = frame.select(pl.col(name).cast(pl.Float32) for name in names)
    known = pl.all().fill_nan(None)
    finite = pl.when(pl.all().is_finite()).then(pl.all())
    statistics = {
        "nulls": features.null_count(),
        "nan": features.select(pl.all().is_nan().sum()),
        "infinite": features.select(pl.all().is_infinite().sum()),
        "min": features.select(finite).min(),
        "max": features.select(finite).max(),
        # Of the values that are known; counting distinct ones costs ten times as much.
        "various": features.select(known.ne(known.drop_nulls().first()).any()),
    }
    values = {name: table.row(0, named=True) for name, table in statistics.items()}
    return {
        name: RangeEvidence(
            missing=(values["nulls"][name] + values["nan"][name]) / frame.height,
            nan=values["nan"][name],
            infinite=values["infinite"][name],
            min=values["min"][name],
            max=values["max"][name],
            constant=not values["various"][name],
        )
        for name in names
    }


def single_feature_auc(frame: "pl.DataFrame", names: Sequence[str], label: str) -> dict[str, float]:
    """AUC of each feature alone for ``label``, turned so that it is at least 0.5; empty for a label of one value.

    A label with more than two values counts as positive above its median; of a text each value counts against all
    others, and the largest AUC is given. Rows in which feature or label are
    missing do not count; a feature that is missing for one of the classes has no AUC.
    """
    import polars as pl

    if frame[label].dtype == pl.String:
        largest: dict[str, float] = {}
        for value in frame[label].drop_nulls().unique().sort():
            alone = frame.with_columns((pl.col(label) == value).cast(pl.Int8))
            for name, auc in single_feature_auc(alone, names, label).items():
                largest[name] = max(auc, largest.get(name, 0.0))
        return largest
    y = frame[label].cast(pl.Float64)
    y = y.fill_nan(None)
    if y.null_count() == len(y):
        return {}
    if y.n_unique() - (y.null_count() > 0) > 2:
        middle = y.median()
        assert isinstance(middle, float)
        y = (y > middle).cast(pl.Float64)
    else:
        y = (y == y.max()).cast(pl.Float64)
    values = frame.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names)
    known = values.with_columns(y.alias("(label)")).filter(pl.col("(label)").is_not_null())
    # Features have few different values, which are cheaper to count and sort than all rows are to rank.
    tables = pl.collect_all(
        known.lazy().select(name, "(label)").drop_nulls(name)
        .group_by(name).agg(pl.len().alias("rows"), pl.col("(label)").sum()).sort(name)
        for name in names
    )  # fmt: skip
    found = {}
    for name, counted in zip(names, tables, strict=True):
        positive = counted["(label)"]
        negative = counted["rows"] - positive
        pairs = float(positive.sum()) * float(negative.sum())
        if pairs:
            # Pairs in the right order; of equal ones half (Hanley and McNeil 1982).
            auc = float((positive * (negative.cum_sum() - negative / 2)).sum()) / pairs
            found[name] = max(auc, 1 - auc)
    return found


def parity(
    function: FeatureFunction,
    raw: "pl.DataFrame",
    history: History,
    names: Sequence[str],
    built: "pl.DataFrame",
    sample: int = 200,
    seed: int = 0,
) -> ParityEvidence:
    """Sampled rows of ``raw`` sent one by one through the serving path, with the ``inputs`` columns only.

    ``built`` are the features of the same rows in the same order; ``names`` the features that the models read.
    Raises :class:`PlatformError` when ``built`` belongs to other rows.
    """
    import numpy as np

    if built.height != raw.height or not raw.height:
        raise PlatformError(
            f"parity needs the features of the same rows: {built.height} features, {raw.height} raw rows"
        )
    key = [name for name in function.key if name in built.columns]
    if not built.select(key).equals(raw.select(key)):
        raise PlatformError("parity needs features in the order of the raw rows: their keys differ")
    order = feature_names(function)
    chosen = np.sort(np.random.default_rng(seed).choice(raw.height, size=min(sample, raw.height), replace=False))
    inputs = raw.select(function.inputs)
    try:
        single = np.concatenate([featurize(function, inputs[int(row)], history) for row in chosen])
    except Exception as error:
        # Whatever it raises, it would raise in production: that is the finding.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return ParityEvidence(rows=len(chosen), different={}, largest=float("inf"), error=reason)
    single = np.ascontiguousarray(single[:, [order.index(name) for name in names]])
    batch = matrix(built[chosen], names, finite=False)
    differs = bits(single) != bits(batch)
    counts = differs.sum(axis=0)
    gap = np.abs(single[differs].astype(np.float64) - batch[differs])
    return ParityEvidence(
        rows=len(chosen),
        different={name: int(count) for name, count in zip(names, counts, strict=True) if count},
        largest=float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)),
    )
