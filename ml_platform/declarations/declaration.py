"""What a user declares: datasets, feature sets and models, as strict models of ``defs.yaml``.

Plain data with plain checks: the components of :mod:`ml_platform.orchestration` turn them into Dagster
definitions, the command line uses them without.
"""

import importlib
from datetime import date, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.catalogue import Gate, Stage
from ml_platform.sources.rules import AnySource, SourceRule
from ml_platform.training.parameters import TrainingParameters
from ml_platform.training.split import SplitRule

NAME = r"^[a-z][a-z0-9_]{0,60}$"


class DeclarationError(PlatformError):
    """A declaration that cannot work; the message names key and reason."""


def load_object(path: str, key: str) -> Any:
    """Import ``module:object``. Raises DeclarationError naming the declaration's key."""
    module, _, name = path.partition(":")
    if not name:
        raise DeclarationError(f"{key}: {path!r} is not of the form module:object")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise DeclarationError(f"{key}: module {module} has no object {name!r}") from None
    except Exception as error:
        raise DeclarationError(f"{key}: cannot import {module}: {type(error).__name__}: {error}") from error


class Declaration(BaseModel):
    """Base of all declarations: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    description: str = ""
    owners: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    gates: tuple[Gate, ...] = ()

    #: Stages whose gates may be listed here.
    _stages: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _gates_fit(self) -> "Declaration":
        names = [gate.name for gate in self.gates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"gate {twice[0]!r} is listed twice")
        for gate in self.gates:
            if gate.stage not in type(self)._stages.default:  # type: ignore[attr-defined]
                raise ValueError(f"gate {gate.gate!r} belongs to {gate.stage}, which is not declared here")
        return self

    def gates_of(self, stage: Stage) -> tuple[Gate, ...]:
        """The declared gates of a stage, in order."""
        return tuple(gate for gate in self.gates if gate.stage == stage)


class Partitions(BaseModel):
    """Time partitions: keys are the ISO date of the first day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Literal["day", "week", "month"]
    start: date
    #: Exclusive; ``None``: open.
    end: date | None = None

    def next(self, key: date) -> date:
        """First day of the partition after the one that starts on ``key``."""
        if self.every == "month":
            return (key.replace(day=1) + timedelta(days=32)).replace(day=1)
        return key + timedelta(days=7 if self.every == "week" else 1)

    def window(self, key: str) -> tuple[date, date]:
        """First day, and the day after the last, of a partition. Raises DeclarationError for an unknown key."""
        try:
            first = date.fromisoformat(key)
        except ValueError:
            raise DeclarationError(f"partition {key!r} is not an ISO date; take one of the form {self.start}") from None
        if key not in self.keys(first + timedelta(days=1), complete=False):
            raise DeclarationError(
                f"partition {key!r} does not exist; partitions start on {self.start}, every {self.every}"
            )
        return first, self.next(first)

    def keys(self, until: date | datetime, *, complete: bool = True) -> list[str]:
        """Keys of the partitions that have ended by ``until`` (or have begun, with ``complete=False``)."""
        limit = until.date() if isinstance(until, datetime) else until
        keys, key = [], self.start
        while (self.next(key) <= limit if complete else key < limit) and (self.end is None or key < self.end):
            keys.append(key.isoformat())
            key = self.next(key)
        return keys

    def all_keys(self, now: datetime) -> list[str]:
        """Every partition that can exist now."""
        return self.keys(self.end or now)


class QuarantineRule(BaseModel):
    """Rows that break a rule are set aside, each with its reasons; beyond ``max`` the batch is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Largest share of a batch's rows that may be set aside.
    max: float = Field(gt=0, lt=1)


class DatasetSpec(Declaration):
    """A versioned dataset: where batches come from and what they must be like."""

    name: str = Field(pattern=NAME)
    #: ``module:object`` with ``partitions()`` and ``read(partition)``, or a mapping with a ``kind``.
    source: AnySource
    #: ``module:object``: a pandera DataFrameModel for polars.
    schema_: str = Field(alias="schema")
    partitions: Partitions
    #: Columns that identify a row.
    key: tuple[str, ...] = Field(min_length=1)
    #: Column with the day of the event.
    time: str
    #: Rows that break a rule of the schema are set aside, up to a share of the batch; ``None``: they stay in it.
    quarantine: "QuarantineRule | None" = None
    #: Whether a batch may bring columns that the schema does not know.
    new_columns: Literal["accept", "refuse"] = "refuse"
    _stages: tuple[Stage, ...] = ("batch",)

    @model_validator(mode="after")
    def _quarantine_fits(self) -> "DatasetSpec":
        if any(gate.gate == "quarantine" for gate in self.gates):
            raise ValueError("gate 'quarantine' comes with quarantine: {max: …}; declare that instead of the gate")
        return self

    def gates_of(self, stage: Stage) -> tuple[Gate, ...]:
        """The gates of a stage, in order; a declared quarantine is a gate on its rate."""
        declared = super().gates_of(stage)
        if stage != "batch" or self.quarantine is None:
            return declared
        return (*declared, Gate(gate="quarantine", max=self.quarantine.max))

    def load_source(self) -> Any:
        """The source object."""
        if isinstance(self.source, SourceRule):
            from ml_platform.sources.source import open_source

            return open_source(self)
        source = load_object(self.source, "source")
        for method in ("partitions", "read"):
            if not callable(getattr(source, method, None)):
                raise DeclarationError(f"source: {self.source} has no method {method}()")
        return source

    def load_schema(self) -> Any:
        """The pandera schema."""
        return load_object(self.schema_, "schema")

    @property
    def prefix(self) -> str:
        """Prefix of the names of its batches in the ledger."""
        return f"{self.name}/batch/"


class FeatureSpec(Declaration):
    """Features of a dataset: one feature function, one age of history."""

    dataset: str = Field(pattern=NAME)
    name: str = Field("features", pattern=NAME)
    #: ``module:object``, a :class:`~ml_platform.features.contract.FeatureFunction`.
    function: str
    #: Days between an outcome's day and the first day whose features may know it.
    history_lag: int = Field(ge=0)
    _stages: tuple[Stage, ...] = ("features",)

    def load_function(self) -> FeatureFunction:
        """The feature function, checked for its attributes."""
        function = load_object(self.function, "function")
        if not isinstance(function, FeatureFunction):
            wanted = [name for name in FeatureFunction.__protocol_attrs__ if not hasattr(function, name)]  # type: ignore[attr-defined]
            raise DeclarationError(f"function: {self.function} lacks {', '.join(sorted(wanted))}")
        return function

    def code_version(self) -> str:
        """Version of the code that makes the features. Raises UnknownModule where it is not there."""
        from ml_platform.features.code import feature_code_version

        return feature_code_version(self.function)

    @property
    def key(self) -> str:
        """Key that models refer to: ``dataset/name``."""
        return f"{self.dataset}/{self.name}"


class ModelSpec(Declaration):
    """A model: features, target, split, parameters and the gates from split to deployment."""

    name: str = Field(pattern=NAME)
    #: Feature set, ``dataset/name``.
    features: str
    #: Label column of the feature function.
    target: str
    task: Literal["binary", "multiclass", "regression"]
    #: Values of a multiclass target, in the order in which their probabilities are given.
    classes: tuple[str, ...] = ()
    split: SplitRule
    parameters: TrainingParameters = TrainingParameters()
    #: Newest published partitions on which ``ml-platform check --branch`` trains; ``None``: all.
    check_partitions: int | None = Field(default=None, ge=2)
    #: Probability from which on a row counts as positive.
    decision_threshold: float | None = Field(None, gt=0, lt=1)
    #: What the model is for and where it must not be used, for the model card.
    purpose: str = ""
    limits: str = ""
    #: Whether new partitions lead to a training by themselves.
    retrain_on_new_data: bool = True
    #: How far features may move in the search for the worst case.
    worst_case: "WorstCase | None" = None
    #: What drift of the newest partitions' inputs leads to.
    drift: "DriftRule | None" = None
    _stages: tuple[Stage, ...] = ("split", "evaluation", "service", "deployment")

    @model_validator(mode="after")
    def _threshold_given(self) -> "ModelSpec":
        if self.task == "binary" and self.decision_threshold is None:
            raise ValueError("decision_threshold: a binary model has to declare it")
        if self.task == "multiclass" and self.decision_threshold is not None:
            raise ValueError("decision_threshold: a multiclass model decides for the most probable class; remove it")
        return self

    @model_validator(mode="after")
    def _classes_given(self) -> "ModelSpec":
        if self.task != "multiclass" and self.classes:
            raise ValueError(f"classes: a {self.task} model has none; use task: multiclass")
        if self.task == "multiclass" and (len(self.classes) < 3 or len(set(self.classes)) < len(self.classes)):
            raise ValueError("classes: a multiclass model has to declare three or more different values of its target")
        return self


class WorstCase(BaseModel):
    """The box around a row in which the worst case is searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: How far every feature may move, in its interquartile ranges.
    within: float = Field(0.1, gt=0)
    #: How far single features may move, in their own unit; 0: not at all.
    bounds: dict[str, float] = {}

    @field_validator("bounds")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        if wrong := sorted(name for name, size in value.items() if not 0 <= size < float("inf")):
            raise ValueError(f"{', '.join(wrong)}: a bound must be finite and not negative")
        return value


class DriftRule(BaseModel):
    """k of n raw inputs drifted beyond a PSI, over k of n ticks: train anew, or only say so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Population stability index above which a column counts as drifted.
    psi: float = Field(gt=0)
    #: Share of drifted columns above which a partition counts as drifted.
    share: float = Field(ge=0, lt=1)
    #: How many of the newest ``window`` partitions have to be drifted.
    partitions: int = Field(ge=1)
    window: int = Field(ge=1)
    action: Literal["advise", "train"]

    @field_validator("window")
    @classmethod
    def _fits(cls, value: int, info: Any) -> int:
        if value < info.data.get("partitions", 1):
            raise ValueError("window must not be smaller than partitions")
        return value


ModelSpec.model_rebuild()
