"""Rules on what is seen in production."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class DriftRule(BaseModel):
    """When new partitions count as drifted from what the version that answers learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    psi: float = Field(
        default=0.25, gt=0, description="Population stability index above which an input, or the outputs, drifted."
    )
    share: float = Field(
        default=0.3, ge=0, lt=1, description="Share of drifted inputs above which a partition counts as drifted."
    )
    partitions: int = Field(
        default=2, ge=1, description="How many of the newest `window` partitions have drifted inputs, or outputs."
    )
    window: int = Field(default=3, ge=1, validate_default=True, description="Newest partitions that are looked at.")
    outcomes: float = Field(
        default=0.1,
        gt=0,
        description="How far the mean outcome of a partition may lie from what the version leads one to expect, beyond "
        "what chance explains from day to day, in standard deviations; of a slice three times that.",
    )

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
