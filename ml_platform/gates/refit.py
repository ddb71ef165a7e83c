"""Gate on a refit: does it still say what the model said that was judged?"""

from typing import TYPE_CHECKING

from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    from ml_platform.evaluation.refit import RefitEvaluation


@kind(
    "agreement",
    "refit",
    "Agreement of its outputs with those of the judged model on the holdout: their `correlation`, or their mean "
    "`difference` as a share of their spread there",
    requires=("metric",),
    metrics=("correlation", "difference"),
)
def agreement(evidence: "RefitEvaluation", gate: Gate) -> Measurement:
    """What suits every task: neither has a unit; of several classes all their probabilities count alike.

    The correlation (Pearson) is 1 where both order rows alike and in the same proportions, 0 where they have nothing
    to do with each other. The difference is 0 for the same outputs, 1 for a refit that says the mean of every row; it
    also notices another level, which a new season has as well. The spread is the mean distance of the judged model's
    outputs from their mean.
    """
    values = {"correlation": evidence.correlation, "difference": evidence.relative_difference}
    flipped = "" if evidence.flipped is None else f"; {evidence.flipped:.1%} of the decisions are others"
    return Measurement(
        values[gate.metric or ""],
        f"outputs correlate by {evidence.correlation:.4f} with those of the judged model {evidence.judged[:12]} and "
        f"differ by {evidence.difference:.4g}, where they spread by {evidence.spread:.4g}{flipped}",
        support=evidence.rows,
        details={
            "outputs": [
                {"model": "judged", "mean": evidence.judged_mean, "spread": evidence.spread},
                {"model": "refit", "mean": evidence.refit_mean, "spread": evidence.refit_spread},
            ]
        },
    )
