"""What can be declared about an evaluation."""

from pydantic import BaseModel, ConfigDict, Field, field_validator


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
