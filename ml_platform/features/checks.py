"""Evidence for the gates on features: ranges, no knowledge of the future, the same features in serving."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ml_platform.features.build import build, featurize, matrix
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.history import History, daily
from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import numpy as np
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
class LeakEvidence:
    """Features that changed when only outcomes changed which they must not know."""

    #: First day whose outcomes were corrupted; None: all of them, and the history kept as it was.
    cut: date | None
    #: Rows whose outcomes were corrupted, and rows (earlier ones) whose features were compared.
    corrupted: int
    compared: int
    #: Feature to the number of compared rows in which it changed.
    changed: dict[str, int]
    #: Per changed feature, up to five rows: key, value before, value after.
    sample: dict[str, list[dict[str, Any]]]

    @property
    def leaks(self) -> bool:
        """Whether any feature changed."""
        return bool(self.changed)


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
    finite = pl.when(pl.all().is_finite()).then(pl.all())
    statistics = {
        "nulls": features.null_count(),
        "nan": features.select(pl.all().is_nan().sum()),
        "infinite": features.select(pl.all().is_infinite().sum()),
        "min": features.select(finite).min(),
        "max": features.select(finite).max(),
        "distinct": features.select(pl.all().n_unique()),
    }
    values = {name: table.row(0, named=True) for name, table in statistics.items()}
    return {
        name: RangeEvidence(
            missing=(values["nulls"][name] + values["nan"][name]) / frame.height,
            nan=values["nan"][name],
            infinite=values["infinite"][name],
            min=values["min"][name],
            max=values["max"][name],
            constant=values["distinct"][name] <= 1,
        )
        for name in names
    }


def single_feature_auc(frame: "pl.DataFrame", names: Sequence[str], label: str) -> dict[str, float]:
    """AUC of each feature alone for ``label``, turned so that it is at least 0.5; empty for a label of one value.

    A label with more than two values counts as positive above its median. Rows in which feature or label are
    missing do not count; a feature that is missing for one of the classes has no AUC.
    """
    import polars as pl

    y = frame[label].cast(pl.Float64)
    y = y.fill_nan(None)
    if y.n_unique() - (y.null_count() > 0) > 2:
        middle = y.median()
        assert isinstance(middle, float)
        y = (y > middle).cast(pl.Float64)
    else:
        y = (y == y.max()).cast(pl.Float64)
    table = frame.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names).with_columns(
        y.alias("(label)")
    )
    known = pl.col("(label)").is_not_null()
    measured = {}
    for place, name in enumerate(names):
        both = known & pl.col(name).is_not_null()
        positive = both & (pl.col("(label)") == 1)
        ranks = pl.when(both).then(pl.col(name)).rank("average").filter(positive).sum()
        measured[f"r{place}"], measured[f"p{place}"], measured[f"n{place}"] = ranks, positive.sum(), both.sum()
    row = table.select(**measured).row(0, named=True)
    found = {}
    for place, name in enumerate(names):
        positives, rows = row[f"p{place}"], row[f"n{place}"]
        if 0 < positives < rows:
            auc = (row[f"r{place}"] - positives * (positives + 1) / 2) / (positives * (rows - positives))
            found[name] = max(auc, 1 - auc)
    return found


def corrupt(raw: "pl.DataFrame", outcomes: Sequence[str], rows: "pl.Series", seed: int) -> "pl.DataFrame":
    """``raw`` with other values in the ``outcomes`` columns of the marked ``rows``: each value is changed.

    A known value becomes another or unknown, an unknown one becomes known, so that a feature that only
    looks whether an outcome exists is caught too.
    """
    import numpy as np
    import polars as pl

    random = np.random.default_rng(seed)
    columns = []
    for name in outcomes:
        values = raw[name]
        # Fits the smallest whole-number type, and is as large as a fault that matters.
        shift = pl.Series(random.integers(60, 120, raw.height))
        erase = pl.Series(random.random(raw.height) < 0.25)
        if values.dtype.is_numeric():
            whole = values.dtype.is_integer()
            other = (values.cast(pl.Int64) if whole else values.cast(pl.Float64).fill_nan(0)).fill_null(0) + shift
        elif values.dtype == pl.Boolean:
            other = ~values.fill_null(False)
        elif values.dtype.is_temporal():
            other = raw.select(pl.col(name).fill_null(strategy="max").dt.offset_by("400d")).to_series()
        else:
            other = values.cast(pl.String).fill_null("") + shift.cast(pl.String)
        other = other.cast(
            pl.String if isinstance(values.dtype, pl.Categorical | pl.Enum) else values.dtype, strict=False
        )
        table = pl.DataFrame({"old": values.cast(other.dtype), "new": other, "row": rows, "erase": erase})
        known = pl.col("old").is_not_null()
        columns.append(
            table.select(
                pl.when(pl.col("row") & known & pl.col("erase")).then(None)
                .when("row").then("new").otherwise("old").alias(name)
            ).to_series()
        )  # fmt: skip
    return raw.with_columns(columns)


def time_travel(
    function: FeatureFunction,
    raw: "pl.DataFrame",
    history_tables_before: Iterable["pl.DataFrame"],
    lag_days: int,
    outcomes: Sequence[str],
    cut: date | None = None,
    seed: int = 0,
    built: "pl.DataFrame | None" = None,
) -> LeakEvidence:
    """Whether features know outcomes that they must not: an experiment, not an inspection of code.

    All ``outcomes`` columns of rows from the day ``cut`` on (default: the middle day of the batch) are corrupted, and
    the daily sums and features built anew. Rows before ``cut + lag_days`` must keep every bit: this holds own
    outcomes (rows of the day ``cut`` itself), later days, and a lag shorter than declared. ``history_tables_before``
    are the :func:`~ml_platform.features.history.daily` tables of earlier partitions, ``built`` the features of the
    batch as they are (made here where not given). Raises :class:`PlatformError` when there is nothing to corrupt or
    to compare.
    """
    _need_outcomes(raw, outcomes)
    days = raw[function.time]
    if cut is None:
        cut = days.unique().sort()[days.n_unique() // 2]
    assert cut is not None
    later, compared = days >= cut, days < cut + timedelta(days=lag_days)
    if not later.any() or not compared.any():
        span = f"{days.min()} to {days.max()}"
        raise PlatformError(f"the leak check needs days before and after {cut}: the batch has {span}")
    before = list(history_tables_before)

    def features(batch: "pl.DataFrame") -> "pl.DataFrame":
        history = History.from_tables(function, [*before, daily(function, batch)], lag_days)
        return build(function, batch, history)

    honest = built if built is not None else features(raw)
    return _changes(function, honest, features(corrupt(raw, outcomes, later, seed)), cut, later, compared)


def leaks(
    function: FeatureFunction,
    raw: "pl.DataFrame",
    history_tables_before: Iterable["pl.DataFrame"],
    history: History,
    outcomes: Sequence[str],
    built: "pl.DataFrame",
    seed: int = 0,
) -> list[LeakEvidence]:
    """Three kinds of experiment on features as they are stored (``built``, with ``history``).

    - Outcomes of the last day are corrupted (:func:`time_travel`): every row must come out as it is stored.
    - All outcomes are corrupted, and the history is kept: no row may know its own or another's, on any day.
    - Outcomes from a third and from two thirds of the days on are corrupted, in every third row and with those as the
      only past: the smaller the sums, the less hides behind them.

    Raises PlatformError as :func:`time_travel` does.
    """
    _need_outcomes(raw, outcomes)
    lag, days = history.lag_days, raw[function.time].unique().sort()
    every = raw[function.time] >= days[0]
    own = build(function, corrupt(raw, outcomes, every, seed), history)
    thin = raw.gather_every(3) if raw.height >= 3 * len(days) else raw
    cuts = [day for part in (1, 2) for day in [days[len(days) * part // 3]] if day < days[-1]]
    alone = build(function, thin, History.from_tables(function, [daily(function, thin)], lag)) if cuts else thin
    return [
        time_travel(function, raw, history_tables_before, lag, outcomes, days[-1], seed, built),
        _changes(function, built, own, None, every, every),
        *(time_travel(function, thin, (), lag, outcomes, cut, seed, alone) for cut in dict.fromkeys(cuts)),
    ]


def _need_outcomes(raw: "pl.DataFrame", outcomes: Sequence[str]) -> None:
    lacking = [name for name in outcomes if name not in raw.columns]
    if not outcomes or lacking:
        reason = f"the batch lacks the columns {lacking}" if lacking else "the schema marks no column as outcome"
        raise PlatformError(f"the leak check has nothing to corrupt: {reason}")
    if not raw.height:
        raise PlatformError("the leak check has nothing to corrupt: the batch has no rows; check its volume first")


def _changes(
    function: FeatureFunction,
    honest: "pl.DataFrame",
    corrupted: "pl.DataFrame",
    cut: date | None,
    later: "pl.Series",
    compared: "pl.Series",
) -> LeakEvidence:
    """Features of the ``compared`` rows that are not the same bits in both frames."""
    import numpy as np

    frame = honest.filter(compared)
    names = feature_names(function)
    before = matrix(frame, names, finite=False)
    after = matrix(corrupted.filter(compared), names, finite=False)
    differs = _bits(before) != _bits(after)
    changed, sample = {}, {}
    for place, name in enumerate(feature_names(function)):
        where = np.flatnonzero(differs[:, place])
        if len(where):
            changed[name] = len(where)
            sample[name] = [
                _key_of(function, frame, int(row))
                | {"before": float(before[row, place]), "after": float(after[row, place])}
                for row in where[:5]
            ]
    return LeakEvidence(
        cut=cut, corrupted=int(later.sum()), compared=int(compared.sum()), changed=changed, sample=sample
    )


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
    differs = _bits(single) != _bits(batch)
    counts = differs.sum(axis=0)
    gap = np.abs(single[differs].astype(np.float64) - batch[differs])
    return ParityEvidence(
        rows=len(chosen),
        different={name: int(count) for name, count in zip(names, counts, strict=True) if count},
        largest=float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)),
    )


def _bits(values: "np.ndarray") -> "np.ndarray":
    """Float32 values as bits, with one bit pattern for every NaN (missing is missing)."""
    import numpy as np

    return np.where(np.isnan(values), np.float32(np.nan), values).astype(np.float32).view(np.uint32)


def _key_of(function: FeatureFunction, frame: "pl.DataFrame", row: int) -> dict[str, Any]:
    values = frame.select(function.key).row(row, named=True)
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}
