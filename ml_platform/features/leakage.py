"""Whether features know outcomes that they must not: experiments, not an inspection of code."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ml_platform.features.build import bits, build, days_of, matrix, rows_of
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.history import History, daily, keys_of, of_hours
from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl


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
    before: History,
    outcomes: Sequence[str],
    cut: date | None = None,
    seed: int = 0,
    built: "pl.DataFrame | None" = None,
) -> LeakEvidence:
    """Whether features know outcomes that they must not: an experiment, not an inspection of code.

    All ``outcomes`` columns of rows from the day ``cut`` on (default: the middle day of the batch) are corrupted, and
    the daily sums and features built anew. Rows before ``cut`` and the lag must keep every bit: this holds own
    outcomes (rows of the day ``cut`` itself), later days, and a lag shorter than declared. ``before`` is the history of
    earlier partitions, with the declared lag, ``built`` the features of the batch as they are (made here where not
    given). Raises :class:`PlatformError` when there is nothing to corrupt or to compare.
    """
    _need_outcomes(raw, outcomes)
    days = days_of(function, raw)
    assert days is not None
    if cut is None:
        cut = days.unique().sort()[days.n_unique() // 2]
    assert cut is not None
    later, compared = days >= cut, days < cut + timedelta(days=before.lag_days)
    if not later.any() or not compared.any():
        span = f"{days.min()} to {days.max()}"
        raise PlatformError(f"the leak check needs days before and after {cut}: the batch has {span}")
    honest = built if built is not None else _features(function, raw, before)
    lied = _features(function, corrupt(raw, outcomes, later, seed), before)
    return _changes(function, feature_names(function), honest, lied, cut, later, compared)


def _features(function: FeatureFunction, raw: "pl.DataFrame", before: History) -> "pl.DataFrame":
    """Features of a batch whose own outcomes join the history ``before``."""
    rows = rows_of(function, raw)
    tables = [*before.tables, daily(function, raw, rows)]
    past = History.from_tables(
        function, of_hours(tables) if before.open else tables, before.lag_days, before
    ).as_refreshed(before.refreshed)
    return build(function, raw, past, rows)


def leaks(
    function: FeatureFunction,
    raw: "pl.DataFrame",
    before: History,
    history: History,
    outcomes: Sequence[str],
    built: "pl.DataFrame",
    seed: int = 0,
) -> list[LeakEvidence]:
    """Three kinds of experiment on stored features: ``built``, with ``history``; ``before`` is that of earlier
    partitions, made as it is declared.

    - Outcomes of the last day are corrupted (:func:`time_travel`): every row must come out as it is stored.
    - All outcomes are corrupted, and the history is kept: no row may know its own or another's, on any day.
    - Outcomes from a third and from two thirds of the days on are corrupted, in every third row and with those as the
      only past: the smaller the sums, the less hides behind them.

    Of data without time only the second. Raises PlatformError as :func:`time_travel` does.
    """
    _need_outcomes(raw, outcomes)
    if not function.time:
        return [_own(function, raw, history, outcomes, built, seed)]
    every = days_of(function, raw)
    assert every is not None
    days = every.unique().sort()
    thin = raw.gather_every(3) if raw.height >= 3 * len(days) else raw
    cuts = [day for part in (1, 2) for day in [days[len(days) * part // 3]] if day < days[-1]]
    nothing = History.from_tables(function, (), before.lag_days).as_refreshed(before.refreshed)
    alone = _features(function, thin, nothing) if cuts else thin
    return [
        time_travel(function, raw, before, outcomes, days[-1], seed, built),
        _own(function, raw, history, outcomes, built, seed),
        *(time_travel(function, thin, nothing, outcomes, cut, seed, alone) for cut in dict.fromkeys(cuts)),
    ]


def _own(
    function: FeatureFunction,
    raw: "pl.DataFrame",
    history: History,
    outcomes: Sequence[str],
    built: "pl.DataFrame",
    seed: int,
) -> LeakEvidence:
    """All outcomes are corrupted, and the history is kept."""
    import polars as pl

    every = pl.repeat(True, raw.height, dtype=pl.Boolean, eager=True)
    lied = corrupt(raw, outcomes, every, seed)
    rows, names = rows_of(function, lied), feature_names(function)
    # A history that is kept, and is asked for the same keys and days, answers the same.
    asked = keys_of(function, rows).equals(keys_of(function, rows_of(function, raw)))
    if asked and (not function.time or lied[function.time].equals(raw[function.time])):
        corrupted, names = rows, function.columns
    else:
        corrupted = build(function, lied, history, rows)
    return _changes(function, names, built, corrupted, None, every, every)


def _need_outcomes(raw: "pl.DataFrame", outcomes: Sequence[str]) -> None:
    lacking = [name for name in outcomes if name not in raw.columns]
    if not outcomes or lacking:
        reason = f"the batch lacks the columns {lacking}" if lacking else "the schema marks no column as outcome"
        raise PlatformError(f"the leak check has nothing to corrupt: {reason}")
    if not raw.height:
        raise PlatformError("the leak check has nothing to corrupt: the batch has no rows; check its volume first")


def _changes(
    function: FeatureFunction,
    names: Sequence[str],
    honest: "pl.DataFrame",
    corrupted: "pl.DataFrame",
    cut: date | None,
    later: "pl.Series",
    compared: "pl.Series",
) -> LeakEvidence:
    """Those features ``names`` of the ``compared`` rows that are not the same bits in both frames."""
    import numpy as np

    frame = honest.filter(compared)
    before = matrix(frame, names, finite=False)
    after = matrix(corrupted.select(names).filter(compared), names, finite=False)
    differs = bits(before) != bits(after)
    changed, sample = {}, {}
    for index, name in enumerate(names):
        where = np.flatnonzero(differs[:, index])
        if len(where):
            changed[name] = len(where)
            sample[name] = [
                _key_of(function, frame, int(row))
                | {"before": float(before[row, index]), "after": float(after[row, index])}
                for row in where[:5]
            ]
    return LeakEvidence(
        cut=cut, corrupted=int(later.sum()), compared=int(compared.sum()), changed=changed, sample=sample
    )


def _key_of(function: FeatureFunction, frame: "pl.DataFrame", row: int) -> dict[str, Any]:
    values = frame.select(function.key).row(row, named=True)
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}
