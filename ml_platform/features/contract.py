"""What a feature function must be: the same object featurizes months for training and one row for serving."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl

#: When what serving knows of the past becomes newer: each day, or when a partition has closed.
Refresh = Literal["day", "partition"]
#: What serving does with a row whose history is older than declared.
Stale = Literal["mark", "refuse"]


@dataclass(frozen=True)
class HistoricalMean:
    """The smoothed past mean of an outcome for each key, up to ``history_lag`` before the row's day.

    ``(sum + prior * mean_of_all) / (n + prior)`` over the days whose outcomes are known
    (empirical-Bayes shrinkage towards the mean over all keys, which is taken over the same days).
    ``half_life_days`` weighs a day that is ``a`` days older than the newest that may be seen with
    ``2 ** (-a / half_life_days)``; ``window_days`` takes only that many newest days; with neither, all
    days count alike. A mean over no day at all is missing.
    """

    #: Name of the feature.
    name: str
    #: Column of :meth:`FeatureFunction.outcomes` that is averaged.
    of: str
    #: Columns of :meth:`FeatureFunction.rows` that form the key.
    by: tuple[str, ...]
    #: Weight of the mean over all keys, in rows.
    prior: float = 200.0
    window_days: int | None = None
    half_life_days: float | None = None

    def __post_init__(self) -> None:
        if not self.by:
            raise PlatformError(f"history {self.name!r} has no key columns; name at least one in `by`")
        if self.window_days is not None and self.half_life_days is not None:
            raise PlatformError(f"history {self.name!r} has a window and a half-life; choose one")
        for field in ("prior", "window_days", "half_life_days"):
            value = getattr(self, field)
            if value is not None and not (0 < value < math.inf):
                raise PlatformError(f"history {self.name!r}: {field} is {value}, it must be above 0 and finite")


@runtime_checkable
class FeatureFunction(Protocol):
    """Turns raw rows into features. Pure: no clock, no files, no state.

    The platform joins the declared histories itself, with the declared lag, so that training,
    evaluation and serving see outcomes of the same age. Plain class attributes fulfil the properties.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Raw columns that are known when a prediction is asked for: the columns of a request."""
        ...

    @property
    def time(self) -> str:
        """Column with the day (``pl.Date``) or time (``pl.Datetime``) of an event, among ``inputs``; or empty.

        Histories work on its days, in the time zone of the column.
        """
        ...

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that identify a row, among ``inputs``."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the row-wise features, in order."""
        ...

    @property
    def histories(self) -> tuple[HistoricalMean, ...]:
        """Features from past outcomes."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label columns."""
        ...

    @property
    def slices(self) -> tuple[str, ...]:
        """Columns of ``rows`` kept beside the features for slices and reports."""
        ...

    def rows(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """Row-wise, same height and order as ``raw``: ``columns`` (numeric), keys of ``histories``, ``slices``."""
        ...

    def outcomes(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """Same height and order as ``raw``: the integer columns that ``histories`` average; null where unknown."""
        ...

    def targets(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """Same height and order as ``raw``: the label columns; null where the outcome is unknown."""
        ...


def one_hot(column: str, values: Sequence[str | int]) -> "dict[str, pl.Expr]":
    """A feature for each value of a column, by its name: whether the column has it. A value that is not listed is none
    of them; a missing one stays missing. To be put into other features: ``{**one_hot("payment", ["cash", "card"])}``.
    """
    import polars as pl

    return {feature_of(column, value): pl.col(column) == value for value in values}


def feature_of(column: str, value: str | int) -> str:
    """Name of the feature that says whether a column has a value: ``payment_cash`` of ``Payment``, ``Cash``."""
    return re.sub(r"[^a-z0-9]+", "_", f"{column}_{value}".lower()).strip("_")


def load_function(path: str) -> FeatureFunction:
    """The feature function at ``module:object``; a class is instantiated. Raises PlatformError where there is none."""
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PlatformError(f"feature function {path!r} cannot be imported: {error}") from error
    return found() if isinstance(found, type) else found


def feature_names(function: FeatureFunction) -> tuple[str, ...]:
    """All features in the order of the matrix: row-wise ones, then histories."""
    return (*function.columns, *(history.name for history in function.histories))
