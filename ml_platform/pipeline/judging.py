"""The one place that judges content, records the verdicts and says what holds."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate, Verdict, judge
from ml_platform.pipeline.workspace import Workspace


def judged(
    workspace: Workspace,
    gates: Iterable[Gate],
    evidence: Any,
    *,
    subject: str,
    name: str,
    run: Run,
    asked: Mapping[str, Callable[[], object]] | None = None,
) -> list[Verdict]:
    """Apply every gate to the evidence on the content ``subject`` and keep the verdicts in the ledger.

    ``asked`` gives the evidence of those kinds for which it is made only when their gate asks. Returned are the
    verdicts with the overrides that hold now.
    """
    made = asked or {}
    verdicts = [
        verdict
        for gate in gates
        for verdict in judge([gate], made.get(gate.gate, evidence), subject=subject, subject_name=name)
    ]
    workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    return workspace.ledger.with_overrides(verdicts)
