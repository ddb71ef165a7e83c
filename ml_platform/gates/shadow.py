"""Gates on a candidate that answers copies of requests: how far it differs from the version that answers them."""

from dataclasses import dataclass

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Measurement, kind
from ml_platform.rollout.record import COMPARED, Judged


@dataclass(frozen=True)
class ShadowEvidence:
    """What the supervisor found when it decided, by name of the gate."""

    found: dict[str, Judged]


@kind(
    "shadow",
    "shadow",
    "Upper bound of the 95 % interval of the mean difference between the answers of candidate and live version to the "
    "same requests: of `outputs`, of `decisions` (share that differ) or of `latency` (ms more), over groups of rows "
    "with the same values of `by` (days of a time; without it, over requests)",
    needs=("max",),
    requires=("metric",),
    options=("by",),
    metrics=COMPARED,
)
def shadow(evidence: ShadowEvidence, gate: Gate) -> Measurement:
    """Judged by the supervisor, before the candidate answers any request itself."""
    found = evidence.found[gate.name]
    if found.upper is None:
        raise PlatformError(found.reason)
    details = {"mean": found.mean, "lower": found.lower, "requests": found.requests, "groups": found.groups}
    return Measurement(found.upper, found.reason, found.rows, details)
