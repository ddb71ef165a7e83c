"""Datasets as they are declared."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_platform.declarations.declaration import NAME, Declaration
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.names import listed
from ml_platform.foundation.objects import load_object
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.stages import OF_DATASET, Stage
from ml_platform.sources.context import SourceContext
from ml_platform.sources.kinds import SOURCES
from ml_platform.sources.opening import AnySource, open_source
from ml_platform.sources.partitions import Partitions
from ml_platform.sources.source import Source


class QuarantineRule(BaseModel):
    """Rows that break a rule are set aside, each with its reasons; beyond ``max`` the batch is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Largest share of a batch's rows that may be set aside.
    max: float = Field(gt=0, lt=1)


class DatasetSpec(Declaration):
    """A versioned dataset: where batches come from and what they must be like."""

    #: Begins the keys of its assets.
    name: str = Field(pattern=NAME)
    source: AnySource = Field(
        description="`module:object` with `partitions()` and `read(partition)`, or a mapping with a `kind`: "
        f"{listed(SOURCES)}."
    )
    #: ``module:object``: a pandera DataFrameModel for polars.
    schema_: str = Field(alias="schema")
    #: Stretches of time into which rows are divided, or ``none``.
    partitions: Partitions
    #: Columns that identify a row.
    key: tuple[str, ...] = Field(min_length=1)
    #: Column with the day or the time of the event; optional for data without partitions.
    time: str = ""
    #: Rows that break a rule of the schema are set aside, up to a share of the batch; ``None``: they stay in it.
    quarantine: "QuarantineRule | None" = None
    #: Whether a batch may bring columns that the schema does not know.
    new_columns: Literal["accept", "refuse"] = "refuse"
    _stages: tuple[Stage, ...] = OF_DATASET

    @model_validator(mode="after")
    def _quarantine_fits(self) -> "DatasetSpec":
        if any(gate.gate == "quarantine" for gate in self.gates):
            raise ValueError("gate 'quarantine' comes with quarantine: {max: …}; declare that instead of the gate")
        return self

    @model_validator(mode="after")
    def _time_fits(self) -> "DatasetSpec":
        if self.partitions.timed:
            if not self.time:
                raise ValueError(
                    "time: name the column with the day of the event, or declare `partitions: none` for data without"
                )
            if self.partitions.every == "month" and self.partitions.start.day != 1:
                # Dagster has no shorter month before the first whole one.
                raise ValueError(f'partitions: months begin on the 1st; start: "{self.partitions.start:%Y-%m}-01"')
            for gate in self.gates:
                if self.partitions.hourly and gate.gate == "coverage" and gate.every == "day":
                    raise ValueError(f"gate {gate.name!r} counts days, and partitions are hours; take every: hour")
            return self
        for gate in self.gates:
            if gate.of_time:
                raise ValueError(f"gate {gate.name!r} asks when, and a dataset with `partitions: none` has no when")
        return self

    def gates_of(self, stage: Stage) -> tuple[Gate, ...]:
        """The gates of a stage, in order; a declared quarantine is a gate on its rate."""
        declared = super().gates_of(stage)
        if stage != "batch" or self.quarantine is None:
            return declared
        return (*declared, Gate(gate="quarantine", max=self.quarantine.max))

    def load_source(self, now: Callable[[], datetime] | None = None) -> Source:
        """The source object; ``now`` is its clock, by default that of the settings.

        Raises DeclarationError where it is not there or is no source.
        """
        from ml_platform.foundation.clock import clock
        from ml_platform.foundation.settings import get_settings

        return open_source(
            self.source,
            SourceContext(self.name, self.key, self.time, self.partitions, self.types, now or clock(get_settings())),
        )

    def types(self) -> dict[str, Any]:
        """Column to polars type, as the schema declares them."""
        columns = self.load_schema().to_schema().columns
        return {str(name): column.dtype.type for name, column in columns.items() if column.dtype is not None}

    def load_schema(self) -> Any:
        """The pandera schema. Raises DeclarationError where it is not there, or makes none."""
        schema = load_object(self.schema_, "schema")
        if not hasattr(schema, "to_schema"):
            way = "derive it from pandera.polars.DataFrameModel"
            raise DeclarationError(f"schema: {self.schema_} is no pandera DataFrameModel; {way}")
        try:
            schema.to_schema()
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise DeclarationError(f"schema: {self.schema_}: {said}; correct the schema") from error
        return schema

    def outcomes(self) -> list[str]:
        """Columns that the schema marks as known only afterwards."""
        from ml_platform.validation.schema import columns

        return [column.name for column in columns(self.load_schema()) if column.outcome]

    def private(self) -> set[str]:
        """Columns that the schema marks as personal (``pii``)."""
        from ml_platform.validation.schema import columns

        return {column.name for column in columns(self.load_schema()) if column.pii}

    @property
    def by_request(self) -> bool:
        """Whether its rows are about requests to a service, by our id (and the number of the row in the request)."""
        return "request_id" in self.key and {*self.key} <= {"request_id", "request_row"}

    @property
    def added(self) -> dict[str, str]:
        """Columns that the source adds: the day of a timestamp with its column, the identity of a row with nothing."""
        return {} if isinstance(self.source, str) else self.source.added

    @property
    def prefix(self) -> str:
        """Prefix of the names of its batches in the ledger."""
        return f"{self.name}/batch/"
