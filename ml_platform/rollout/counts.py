"""What the versions of a model did, in numbers: requests as the router counts them, answers as the processes do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.serving.routes import ANSWERING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Traffic:
    """Requests to one side since what counts them started."""

    requests: int = 0
    #: Those with 5xx, a broken connection or no answer in time; also where a second attempt was answered well.
    failed: int = 0
    #: 4xx.
    refused: int = 0
    #: Sum of the time to each answer, seconds.
    seconds: float = 0.0
    #: Requests that wait for their answer now.
    waiting: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.requests + other.requests,
            self.failed + other.failed,
            self.refused + other.refused,
            self.seconds + other.seconds,
            self.waiting + other.waiting,
        )

    def since(self, before: "Traffic") -> "Traffic":
        """What came after ``before``; all of it where the counters began anew."""
        if self.requests < before.requests:
            return self
        return self + Traffic(-before.requests, -before.failed, -before.refused, -before.seconds)

    @property
    def latency(self) -> float:
        """Mean time to an answer, seconds."""
        return self.seconds / max(1, self.requests)


@dataclass(frozen=True)
class Answers:
    """What processes say of the predictions that they made; zeros where they made none."""

    #: Predicted rows, and those of them from a history that is older than declared.
    rows: int = 0
    stale: int = 0
    #: Predictions in each bucket of the task, from the lowest.
    predictions: tuple[int, ...] = ()
    #: Requests as the processes count them: for a router that counts none.
    traffic: Traffic = field(default_factory=Traffic)

    def __add__(self, other: "Answers") -> "Answers":
        return self._with(other, 1)

    def since(self, before: "Answers") -> "Answers":
        """What came after ``before``; all of it where the counters began anew."""
        if self.rows < before.rows or self.traffic.requests < before.traffic.requests:
            return self
        return self._with(before, -1)

    def _with(self, other: "Answers", sign: int) -> "Answers":
        width = max(len(self.predictions), len(other.predictions))
        mine, theirs = ([*counts, *[0] * (width - len(counts))] for counts in (self.predictions, other.predictions))
        return Answers(
            self.rows + sign * other.rows,
            self.stale + sign * other.stale,
            tuple(one + sign * two for one, two in zip(mine, theirs, strict=True)),
            self.traffic + other.traffic if sign > 0 else self.traffic.since(other.traffic),
        )


@dataclass(frozen=True)
class Counted:
    """All that is counted of one side."""

    traffic: Traffic = field(default_factory=Traffic)
    answers: Answers = field(default_factory=Answers)

    def since(self, before: "Counted") -> "Counted":
        """What came after ``before``."""
        return Counted(self.traffic.since(before.traffic), self.answers.since(before.answers))


def answers_of(metrics: Path) -> Answers:
    """What the process that counts in the files of this folder has answered; nothing where there are none yet.

    Read from the files, not by a request: it asks for no key, takes none of the process's time, and a process that
    hangs has told it all the same.
    """
    from prometheus_client.multiprocess import MultiProcessCollector

    try:
        collected = MultiProcessCollector(None, str(metrics)).collect()
    except (OSError, ValueError, RuntimeError):
        return Answers()  # It starts, or has just ended.
    return _answers({metric.name: metric.samples for metric in collected})


def _answers(samples: "dict[str, Iterable[Any]]") -> Answers:
    def total(name: str) -> int:
        return int(sum(sample.value for sample in samples.get(name, ()) if not sample.name.endswith("_created")))

    upto: dict[float, float] = {}
    for sample in samples.get("ml_service_prediction", ()):
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            upto[bound] = upto.get(bound, 0.0) + sample.value
    cumulated = [int(upto[bound]) for bound in sorted(upto)]
    within = [after - before for before, after in zip([0, *cumulated], cumulated, strict=False)]
    return Answers(total("ml_service_rows"), total("ml_service_stale_rows"), tuple(within), _traffic(samples))


def _traffic(samples: "dict[str, Iterable[Any]]") -> Traffic:
    requests = failed = refused = 0
    seconds = 0.0
    for sample in samples.get("ml_service_request_duration_seconds", ()):
        if sample.labels.get("endpoint") not in ANSWERING:
            continue
        if sample.name.endswith("_sum"):
            seconds += sample.value
        elif sample.name.endswith("_count"):
            requests += int(sample.value)
            failed += int(sample.value) * sample.labels["http_response_code"].startswith("5")
            refused += int(sample.value) * sample.labels["http_response_code"].startswith("4")
    return Traffic(requests, failed, refused, seconds)
