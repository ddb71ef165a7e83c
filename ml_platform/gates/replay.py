"""Gate on a replay: is the model what its manifest, code commit and seed give? Costs a second training.

It runs in the environment that is installed here, which trained the model just now: no network, nothing to install.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    from ml_platform.replay.replay import Replay


@kind(
    "replay",
    "evaluation",
    "Differences between the model and its rebuild from manifest, code commit and seed in a fresh process",
    limit=0,
)
def replay(evidence: "Callable[[], Replay]", _: Gate) -> Measurement:
    """Feature files, model file and metrics that come out differently; the evidence is the replay, not yet done."""
    found = evidence()
    other = [f"features of {partition}" for partition in found.other_features]
    other += [] if found.bytes_equal else ["model file"]
    other += [f"metric {name}" for name in found.other_metrics]
    outcome = f"different: {', '.join(other[:8])}" if other else "features, model file and metrics are equal"
    return Measurement(
        len(other),
        "; ".join([*found.warnings, outcome]),
        support=len(found.features) + 1 + len(found.metrics),
        details={
            "files": [
                {"file": f"features of {partition}", "recorded": was, "rebuilt": now}
                for partition, (was, now) in found.features.items()
            ]
            + [{"file": "model", "recorded": found.recorded, "rebuilt": found.rebuilt}],
            "metrics": [
                {"metric": name, "recorded": was, "rebuilt": now} for name, (was, now) in sorted(found.metrics.items())
            ],
        },
    )
