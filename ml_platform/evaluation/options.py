"""What an evaluation measures, and what of it can be declared."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: The column of contrasts that is no slice: calendar month of the event.
MONTH = "month"
#: Rows from which on a group has metrics, and those of either class among them: metrics of fewer are mostly chance.
GROUP_ROWS, CLASS_ROWS = 500, 50


def _not_negative(value: dict[str, float]) -> dict[str, float]:
    if wrong := sorted(name for name, size in value.items() if not 0 <= size < float("inf")):
        raise ValueError(f"{', '.join(wrong)}: a bound must be finite and not negative")
    return value


#: How far every feature may move, in its interquartile ranges; and single ones, in their own unit, 0: not at all.
Within = Annotated[float, Field(gt=0, description="How far every feature may move, in its interquartile ranges.")]
Bounds = Annotated[
    dict[str, float],
    AfterValidator(_not_negative),
    Field(description="How far single features may move, in their own unit; 0: not at all."),
]


class WorstCase(BaseModel):
    """The box around a row in which the worst case is searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    within: Within = 0.1
    bounds: Bounds = {}


class EvaluationOptions(BaseModel):
    """What is measured; thresholds on the results are the gates' business."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Prediction from which a row counts as positive; binary needs it, a probability.",
    )
    time: str = Field(default="date", description="Date or Datetime column of the event.")
    cluster: str | None = Field(default=None, description="Column whose rows stay together; None: the day.")
    slices: tuple[str, ...] = Field(default=(), description="Columns by which the holdout is divided.")
    min_support: int = Field(default=GROUP_ROWS, ge=1, description="Fewest rows for metrics of a group.")
    min_positives: int = Field(default=CLASS_ROWS, ge=0, description="Fewest rows of either class for the same.")
    contrasts: tuple[str, ...] = Field(
        default=(), description="Slices, or `month`, whose groups are held against each other."
    )
    compare: tuple[str, ...] | None = Field(default=None, description="Metrics compared with the champion.")
    replicates: int = Field(default=1000, ge=100, description="Bootstrap replicates.")
    seed: int = Field(default=0, ge=0, description="Seed of the bootstrap.")
    calibration_bins: int = Field(default=10, ge=2, description="Quantile bins of the calibration table.")
    feature_groups: dict[str, tuple[str, ...]] = Field(
        default={}, description="Features that may go missing together, by the group's name."
    )
    #: As :class:`WorstCase`; flat, as evaluations are kept.
    worst_case_within: Within = WorstCase().within
    worst_case_bounds: Bounds = WorstCase().bounds
    linear_baseline: bool = Field(default=True, description="Whether the linear baseline is fitted.")
