"""Gates on copies of requests: with which a rollout begins, and what the supervisor said of them, in the ledger."""

from collections.abc import Iterable

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate, Verdict, judge
from ml_platform.gates.shadow import ShadowEvidence
from ml_platform.ledger.kinds import ROLLOUT, VERDICT
from ml_platform.pipeline.judging import model_gates
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.record import Change, ShadowGate


def name_of(model: str) -> str:
    """Name of what these verdicts are about: a package, as that of a candidate."""
    return f"{model}/shadow"


def shadow_gates(workspace: Workspace, context: ModelContext) -> tuple[ShadowGate, ...]:
    """The declared gates on copies as a rollout record keeps them: the supervisor reads no declarations."""
    return tuple(
        ShadowGate(declared=gate.model_dump(mode="json", exclude_defaults=True), context=gate.context)
        for gate in model_gates(workspace, context, "shadow")
    )


def tell(workspace: Workspace, model: str, history: Iterable[Change], run: Run) -> int:
    """Write to the ledger what gates on copies said and it does not have yet; how many verdicts that were.

    A package whose rollout the ledger does not know is none of the platform's: nothing is said of it.
    """
    written, candidate, known = 0, None, None
    for change in history:
        decided, candidate = candidate, change.candidate
        if not change.judged or decided is None:
            continue
        if known is None:
            entries = workspace.ledger.entries(subject_name=name_of(model), kind=VERDICT)
            known = {int(entry.body["details"]["revision"]) for entry in entries}
        begun = workspace.ledger.entries(subject=decided.sha256, subject_name=f"{model}/deployment", kind=ROLLOUT)
        if change.revision not in known and any(entry.body["version"] == decided.version for entry in begun):
            verdicts = _verdicts(model, change, decided.sha256)
            written += workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    return written


def held_back(model: str, history: Iterable[Change], promoted: Change, began: Change) -> str:
    """The gate by which what copies said holds back what a history says was promoted after it; empty where none does.

    The supervisor sends such a candidate back, so it promoted none of these.
    """
    for change in history:
        if change.judged and began.revision <= change.revision < promoted.revision:
            for verdict in _verdicts(model, change, ""):
                if verdict.holds_back:
                    return f"its gate {verdict.gate} held it back ({verdict.reason})"
    return ""


def _verdicts(model: str, change: Change, sha256: str) -> list[Verdict]:
    gates = [Gate.model_validate(one.gate.declared).as_it_was(one.gate.context) for one in change.judged]
    evidence = ShadowEvidence({one.gate.name: one for one in change.judged})
    stable = {"live": change.stable.sha256} if change.stable is not None else {}
    verdicts = judge(gates, evidence, subject=sha256, subject_name=name_of(model), compared=stable)
    when = {"revision": change.revision, "at": change.at, "by": change.who}
    return [one.model_copy(update={"details": {**one.details, **when}}) for one in verdicts]
