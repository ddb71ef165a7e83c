"""Rules on what is seen in production."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class DriftRule(BaseModel):
    """k of n raw inputs drifted beyond a PSI, over k of n ticks: train anew, or only say so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Population stability index above which a column counts as drifted.
    psi: float = Field(gt=0)
    #: Share of drifted columns above which a partition counts as drifted.
    share: float = Field(ge=0, lt=1)
    #: How many of the newest ``window`` partitions have to be drifted.
    partitions: int = Field(ge=1)
    #: Number of newest partitions that are looked at.
    window: int = Field(ge=1)
    #: Whether a model is trained anew, or only said to be due.
    action: Literal["advise", "train"]

    @field_validator("window")
    @classmethod
    def _fits(cls, value: int, info: Any) -> int:
        if value < info.data.get("partitions", 1):
            raise ValueError("window must not be smaller than partitions")
        return value
