"""Gates on a packaged service: it starts alone, answers, and answers what the model says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    from ml_platform.serving.load import Load


@dataclass(frozen=True)
class ServiceEvidence:
    """What a really started process of the packaged service answered."""

    #: Why it did not start or answer; empty where it did.
    error: str
    #: Seconds from start to ready.
    ready_seconds: float
    #: Answers to the sample rows.
    answered: int
    #: Rows of the holdout compared, those that differ, and the largest difference.
    compared: int
    differing: int
    largest_difference: float
    #: Bad inputs that were not refused as they should be: case and status.
    not_refused: tuple[tuple[str, int], ...]
    cases: int


@dataclass(frozen=True)
class RunningService:
    """The service of the package while it is judged: a process that ends with the judgement."""

    #: Address, without a path.
    url: str
    #: API key of requests; empty where none is asked for.
    key: str
    #: Valid rows of the holdout, each as a request has it.
    rows: Sequence[Mapping[str, Any]]

    def ask(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the service answers to rows: ``predictions`` (and ``decisions``, ``probabilities``), with its version.

        Raises RequestRefused where it refuses them (with its ``status``), ServiceDown where nothing answers.
        """
        from ml_platform.serving.client import Client

        with Client(self.url, self.key) as client:
            return client.predict(rows)

    def under_load(self, rate: float) -> "Load":
        """What one-row requests at a constant rate a second meet."""
        from ml_platform.serving.load import under_load

        bodies = [json.dumps({"rows": [row]}, allow_nan=False).encode() for row in self.rows]
        return under_load(self.url, self.key, bodies, rate)


@kind("servability", "service", "Whether the packaged service fails to start alone or to answer", limit=0)
def servability(evidence: ServiceEvidence, _: Gate) -> Measurement:
    """Start in a fresh process from the package alone, load, predict."""
    if evidence.error:
        return Measurement(1, evidence.error)
    return Measurement(
        0,
        f"ready and answered {evidence.answered} rows",
        support=evidence.answered,
        details={"ready_seconds": round(evidence.ready_seconds, 2)},
    )


@kind(
    "skew",
    "service",
    "Largest difference between served predictions of holdout rows, together and alone, and those of the evaluation",
    needs=("max",),
    version=2,
)
def skew(evidence: ServiceEvidence, _: Gate) -> Measurement:
    """Training-serving skew: raw holdout rows through HTTP against what the model says among all of a partition."""
    if not evidence.compared:
        return Measurement(float("nan"), f"no row was compared: {evidence.error or 'the service gave no answer'}")
    return Measurement(
        evidence.largest_difference,
        f"{evidence.differing} of {evidence.compared} predictions differ",
        support=evidence.compared,
    )


@kind("bad_input", "service", "Bad inputs that are not refused as they should be", limit=0)
def bad_input(evidence: ServiceEvidence, _: Gate) -> Measurement:
    """Missing fields, wrong types, NaN, oversized bodies: each has to be answered with a client error."""
    if not evidence.cases:
        return Measurement(float("nan"), f"no case was tried: {evidence.error or 'the service gave no answer'}")
    wrong = ", ".join(f"{case} ({status})" for case, status in evidence.not_refused)
    return Measurement(
        len(evidence.not_refused),
        f"not refused: {wrong}" if wrong else f"{evidence.cases} bad inputs refused",
        support=evidence.cases,
    )


@kind(
    "latency",
    "service",
    "99th percentile, in milliseconds, of one-row requests to the started service at `rate` requests per second",
    needs=("max",),
    requires=("rate",),
    timed=True,
    asks=("running",),
)
def latency(_: ServiceEvidence, gate: Gate, *, running: RunningService) -> Measurement:
    """A constant rate, whether the service keeps up or not; an answer other than 200 is never a fast one."""
    load = running.under_load(gate.rate or 0)
    answered = f"99 of 100 one-row requests were answered within {load.p99:.1f} ms"
    kept_up = f"{load.achieved:.4g} of {load.rate:g} requests per second were answered"
    table = {
        "requests": load.requests,
        "rate asked": load.rate,
        "rate achieved": load.achieved,
        **{f"{name} ms": getattr(load, name) for name in ("p50", "p95", "p99", "max")},
    }
    details: dict[str, Any] = {"load": [table]}
    if load.not_answered:
        told = ", ".join(f"{number} × {answer}" for answer, number in load.not_answered.items())  # noqa: RUF001
        details["not answered"] = [{"answer": answer, "requests": count} for answer, count in load.not_answered.items()]
        return Measurement(
            float("nan"), f"not every request was answered with 200: {told}; {kept_up}", load.requests, details
        )
    return Measurement(load.p99, f"{answered}; {kept_up}", load.requests, details)
