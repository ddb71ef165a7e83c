"""What was found: for each break the gates that caught it, for each gate its alarms on clean data."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import Stage
from ml_platform.proving.scratch import Judged

#: Refusals of the loop itself, beside gates: by what they are shown.
REFUSAL = "refusal"


@dataclass
class Finding:
    """What became of one break."""

    name: str
    #: Column or columns; empty where it concerns everything.
    case: str
    #: Stage in which the break was made.
    stage: Stage
    #: Verdicts that held it back, those of one stage, failed ones before errored ones.
    caught: list[Verdict] = field(default_factory=list)
    #: The loop's own refusal, where a step refused in one line before any gate was asked.
    refused: str = ""
    #: A step ended in an error that is no refusal: nobody can act on it.
    crashed: str = ""
    #: It was held back by a gate that could not judge, and by none that did: the gate and its reason. Such a gate has
    #: noticed nothing.
    errored: str = ""
    #: Stage to the number of gates that were asked.
    asked: dict[str, int] = field(default_factory=dict)
    #: Gates of severity ``warn`` that noticed it.
    warned: list[str] = field(default_factory=list)

    @property
    def by(self) -> str:
        """What caught it first: gate or refusal; empty where nothing did."""
        if self.caught:
            return self.caught[0].gate
        return REFUSAL if self.refused else ""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "break": self.name,
            "case": self.case,
            "made_in": self.stage,
            "caught_by": self.by,
            "caught_in": self.caught[0].stage if self.caught else "",
            "gates": [
                {"gate": one.gate, "status": one.status, "observed": one.observed, "threshold": one.threshold,
                 "reason": one.reason}
                for one in self.caught
            ],
            "refused": self.refused,
            "crashed": self.crashed,
            "errored": self.errored,
            "asked": self.asked,
            "warned": self.warned,
        }  # fmt: skip


@dataclass(frozen=True)
class Rate:
    """Alarms of one gate on clean data, in the first half of the partitions and in the second."""

    stage: Stage
    gate: str
    blocking: bool
    threshold: str
    #: Partitions judged, alarms among them, and smallest and largest observed value.
    first: int
    first_alarms: int
    first_range: tuple[float, float] | None
    second: int
    second_alarms: int
    second_range: tuple[float, float] | None
    #: Partitions that raised an alarm, with the reason.
    alarms: dict[str, str]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def rates(judged: Iterable[Judged], partitions: list[str]) -> list[Rate]:
    """Per gate of batches and features. The first half is the one that thresholds are chosen from."""
    half = set(partitions[: (len(partitions) + 1) // 2])
    groups: dict[tuple[Stage, str], list[Judged]] = {}
    for one in judged:
        if one.partition:
            groups.setdefault((one.stage, one.verdict.gate), []).append(one)
    found = []
    for (stage, gate), ones in groups.items():
        first = [one for one in ones if one.partition in half]
        second = [one for one in ones if one.partition not in half]
        verdict = ones[0].verdict
        found.append(
            Rate(
                stage,
                gate,
                verdict.blocking,
                verdict.threshold,
                len(first),
                sum(not one.verdict.passed for one in first),
                _range(first),
                len(second),
                sum(not one.verdict.passed for one in second),
                _range(second),
                {one.partition: one.verdict.reason for one in ones if not one.verdict.passed},
            )
        )
    return found


def _range(judged: list[Judged]) -> tuple[float, float] | None:
    values = [one.verdict.observed for one in judged if one.verdict.observed is not None]
    return (min(values), max(values)) if values else None
