"""Rules on what is seen in production."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class DriftRule(BaseModel):
    """When inputs count as drifted: k of the n newest partitions, each with a share of columns beyond a PSI."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Population stability index above which a column counts as drifted.
    psi: float = Field(gt=0)
    #: Share of drifted columns above which a partition counts as drifted.
    share: float = Field(ge=0, lt=1)
    #: How many of the newest ``window`` partitions have to be drifted.
    partitions: int = Field(ge=1)
    #: Number of newest partitions that are looked at.
    window: int = Field(ge=1)

    @model_validator(mode="before")
    @classmethod
    def _follows_elsewhere(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("action") == "advise":
            # What declarations of earlier versions say, and what drift does without it.
            return {key: given for key, given in value.items() if key != "action"}
        if isinstance(value, dict) and "action" in value:
            raise ValueError(
                "`action` is gone: drift is advice by itself, and leads to a training with "
                "`retrain: {drift: [inputs]}` of the model"
            )
        return value

    @field_validator("window")
    @classmethod
    def _fits(cls, value: int, info: Any) -> int:
        if value < info.data.get("partitions", 1):
            raise ValueError("window must not be smaller than partitions")
        return value
