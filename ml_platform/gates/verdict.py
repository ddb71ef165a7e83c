"""What a gate said of one content: under which declaration, in which context, compared with what."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ml_platform.gates.stages import Stage

Status = Literal["passed", "failed", "not_enough_support", "errored"]


class Verdict(BaseModel):
    """The outcome of one gate on one content hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    stage: Stage
    #: sha256 of the content that was judged.
    subject: str
    #: Name of what has that content, for people: ``flights/batch/2013-03-01``.
    subject_name: str
    status: Status
    blocking: bool
    observed: float | None
    threshold: str
    declaration: str
    reason: str
    support: int | None = None
    details: dict[str, Any] = {}
    #: Hash of what else decided it (:attr:`Gate.context`); empty in entries of earlier releases, which allow nothing.
    context: str = ""
    #: Contents that the gate looked at beside the one that it judged, by name: earlier batches, an evaluation, the
    #: champion. Another content there revokes nothing.
    compared: dict[str, str] = {}
    #: Who lets the content pass all the same, until when and why; empty where nobody does. Never recorded with the
    #: verdict: the ledger adds it when it is asked (see :meth:`~ml_platform.ledger.ledger.Ledger.with_overrides`).
    override: str = ""

    @property
    def passed(self) -> bool:
        """Only ``passed`` counts; not enough support and errors hold back like a failure."""
        return self.status == "passed"

    @property
    def uncompared(self) -> bool:
        """Whether it passed since there was nothing to compare with: the first batch, a model without a champion."""
        return self.passed and self.observed is None

    @property
    def holds_back(self) -> bool:
        """Whether what follows must wait."""
        return self.blocking and not self.passed and not self.override

    def recorded(self) -> dict[str, Any]:
        """As the ledger keeps it; keys that came later are there only where given, so that older hashes stay."""
        empty = {name for name in ("context", "compared") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude={"override", *empty})

    @property
    def shown(self) -> str:
        """The status for people: an override never looks like a pass."""
        return "overridden" if self.override else self.status.replace("_", " ")


def uncompared(verdicts: Iterable[Verdict]) -> str:
    """How many of some verdicts had nothing to compare with, and which; empty where all had."""
    given = list(verdicts)
    names = [verdict.gate for verdict in given if verdict.uncompared]
    return f"{len(names)} of {len(given)} gates had nothing to compare with: {', '.join(names)}" if names else ""
