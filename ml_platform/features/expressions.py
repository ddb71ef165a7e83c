"""Features as expressions of SQL in ``defs.yaml``, compiled to a feature function: one plan for a batch and for a row.

The function's path is this module and what is declared, as JSON: whoever loads ``module:object`` (training, a packaged
service, a replay) gets the same function, and needs no file of the project.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_platform.features.contract import HistoricalMean, feature_of, one_hot
from ml_platform.foundation.files import canonical_json

if TYPE_CHECKING:
    import polars as pl

#: Values of a column that may get a feature each.
MOST = 50


class PastMean(BaseModel):
    """A feature from past outcomes, as HistoricalMean has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Label that is averaged: true or false, or whole numbers.
    of: str
    #: Columns or features that form the key.
    by: tuple[str, ...] = Field(min_length=1)
    #: Weight of the mean over all keys, in rows.
    prior: float = Field(200.0, gt=0, allow_inf_nan=False)


class Expressions(BaseModel):
    """Features and labels by their names, each an expression of SQL over the columns of a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Columns that identify a row, as the dataset has them.
    key: tuple[str, ...] = Field(min_length=1)
    #: Column with the day of the event, as the dataset has it.
    time: str = ""
    #: Feature to its expression: ``{weekday: extract(isodow from day), is_cash: payment = 'cash'}``.
    features: dict[str, str] = Field(min_length=1)
    #: Label to its expression, over every column: ``{returned: status = 'back'}``.
    labels: dict[str, str] = Field(min_length=1)
    #: Feature to the past mean of a label: ``{past_by_zone: {of: returned, by: [zone]}}``.
    past: dict[str, PastMean] = {}
    #: Column to its values that get a feature each: ``{payment: [cash, card]}`` gives ``payment_cash`` and
    #: ``payment_card``. A value that is not listed is none of them; of many values take ``past``.
    categories: dict[str, Annotated[tuple[str | int, ...], Field(min_length=1)]] = {}
    #: Columns kept beside the features, for slices.
    slices: tuple[str, ...] = ()

    @field_validator("features", "labels")
    @classmethod
    def _sql(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            _compiled(name, text)
        return value

    @model_validator(mode="after")
    def _past_of_a_label(self) -> "Expressions":
        for name, past in self.past.items():
            if past.of not in self.labels:
                known = ", ".join(self.labels)
                raise ValueError(f"past.{name}: {past.of!r} is no label; average one of {known}, or declare it")
        return self

    @model_validator(mode="after")
    def _each_category_once(self) -> "Expressions":
        for column, values in self.categories.items():
            if len(values) > MOST:
                raise ValueError(
                    f"categories.{column}: {len(values)} values are more than {MOST}; take past: "
                    f"{{past_by_{column}: {{of: …, by: [{column}]}}}}"
                )
        names = [*self.features, *self.past, *self.one_hot]
        for column, values in self.categories.items():
            for value in values:
                if names.count(name := feature_of(column, value)) > 1:
                    raise ValueError(f"categories.{column}: {name!r} is there already; give another one another name")
        return self

    @property
    def one_hot(self) -> list[str]:
        """Names of the features of the categories, in order."""
        return [feature_of(column, value) for column, values in self.categories.items() for value in values]

    @property
    def path(self) -> str:
        """The feature function that this is, as ``module:object``."""
        # What is not declared is no part of the name that earlier releases gave.
        without = None if self.categories else {"categories"}
        return f"{__name__}:{canonical_json(self.model_dump(mode='json', exclude=without))}"


class ExpressionFeatures:
    """The feature function of declared expressions; see :class:`~ml_platform.features.contract.FeatureFunction`."""

    def __init__(self, declared: Expressions) -> None:
        self._features = [_compiled(name, text) for name, text in declared.features.items()]
        self._labels = [_compiled(name, text) for name, text in declared.labels.items()]
        self.time, self.key, self.slices = declared.time, declared.key, declared.slices
        self._features += [
            made.alias(name)
            for column, values in declared.categories.items()
            for name, made in one_hot(column, values).items()
        ]
        self.columns, self.labels = (*declared.features, *declared.one_hot), tuple(declared.labels)
        self.histories = tuple(
            HistoricalMean(name, of=past.of, by=past.by, prior=past.prior) for name, past in declared.past.items()
        )
        # Sorted: in which order a plan names its columns is for polars to choose.
        read = sorted({name for one in self._features for name in one.meta.root_names()})
        beside = [*(name for past in declared.past.values() for name in past.by), *declared.slices]
        given = [name for name in beside if name not in declared.features]
        first = [*declared.key, *filter(None, [declared.time])]
        self.inputs = tuple(dict.fromkeys([*first, *read, *given]))

    def rows(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """Every column of ``raw``, and the features."""
        return raw.with_columns(self._features)

    def outcomes(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """The labels that past means average."""
        return self.targets(raw).select([*dict.fromkeys(history.of for history in self.histories)])

    def targets(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """The labels; true and false are 1 and 0."""
        import polars as pl

        return raw.select(self._labels).with_columns(pl.col(pl.Boolean).cast(pl.Int8))


def _compiled(name: str, text: str) -> "pl.Expr":
    """An expression of SQL. Raises ValueError, naming it, for what is none or reads no column."""
    import polars as pl

    try:
        made = pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{name}: {text!r} is no expression of SQL ({str(error).splitlines()[0]})") from None
    if not made.meta.root_names():
        raise ValueError(f"{name}: {text!r} reads no column")
    return made.alias(name)


@lru_cache(maxsize=64)
def _function(text: str) -> ExpressionFeatures:
    return ExpressionFeatures(Expressions.model_validate_json(text))


def __getattr__(name: str) -> Any:
    """The function that a text of JSON declares: what follows the colon of its path."""
    if not name.startswith("{"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _function(name)
