"""Gates on a deployment: what is deployed is what answers."""

from dataclasses import dataclass

from ml_platform.gates.gate import Gate, Measurement, kind


@dataclass(frozen=True)
class DeploymentEvidence:
    """What the live route answered."""

    url: str
    wanted: str
    answering: str
    error: str = ""


@kind("health", "deployment", "Whether the live route fails to answer with the deployed version", limit=0)
def health(evidence: DeploymentEvidence, _: Gate) -> Measurement:
    """The route is ready and names the version that the rollout record does."""
    if evidence.error:
        return Measurement(1, f"{evidence.url}: {evidence.error}")
    right = evidence.answering == evidence.wanted
    return Measurement(
        0 if right else 1, f"{evidence.url} answers with version {evidence.answering}, wanted {evidence.wanted}"
    )
