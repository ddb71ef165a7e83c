"""What became of the model that was trained last, whether anybody decided on it or not."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference
from ml_platform.gates.stages import Stage
from ml_platform.pipeline.decisions import Decision, Outcome, decisions, decisions_on, in_force
from ml_platform.pipeline.judging import model_gates, unjudged
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef

#: Stage to the last part of the names of its verdicts, where that is another.
NAMES: dict[Stage, str] = {"evaluation": "model"}


class Candidate(NamedTuple):
    """A trained model and how far it came."""

    #: The model, as its reference names it.
    sha256: str
    #: As decided; ``errored`` where a gate could not judge, ``unjudged`` where one has not yet, ``passed`` where
    #: nothing holds it back and it is not registered.
    status: Outcome | Literal["errored", "unjudged", "passed"]
    #: Why; for ``errored`` the gates with their reasons.
    reason: str = ""
    #: Who decided; empty where nobody did.
    by: str = ""
    #: The model that was judged on its holdout: of a refit another.
    judged: str = ""

    @property
    def said(self) -> str:
        """The status for people, with the reason where it came to nothing."""
        if self.status == "rejected":
            return f"{self.status} by {self.by}: {self.reason}"
        return f"{self.status}: {self.reason}" if self.status in ("errored", "unjudged") else self.status


def newest(workspace: Workspace, context: ModelContext) -> Candidate | None:
    """The candidate that was trained last; None where none was."""
    model = context.model.name
    try:
        trained = _furthest(workspace, context)
    except MissingReference:
        # Its reference is gone: the last that gates decided on, or else a person.
        made = decisions(workspace, model)
        if not made:
            return None
        sha256 = next((one.sha256 for one in reversed(made) if not one.by_person), made[-1].sha256)
        return _found(workspace, context, sha256, decisions(workspace, model, sha256), {"evaluation": sha256})
    judged: dict[Stage, str] = {"evaluation": trained.evaluated.sha256}
    if context.model.split.refit:
        judged["refit"] = trained.sha256 if trained.judged else ""
    return _found(workspace, context, trained.sha256, decisions_on(workspace, trained), judged)


def _furthest(workspace: Workspace, context: ModelContext) -> ModelRef:
    """The model that was trained last, or its refit. Raises MissingReference where none was."""
    name = context.model.name
    trained: ModelRef = workspace.references.load(f"{name}/model")
    refitted: ModelRef | None = workspace.latest(f"{name}/refit") if context.model.split.refit else None
    return refitted if refitted is not None and refitted.judged == trained else trained


def _found(
    workspace: Workspace, context: ModelContext, sha256: str, made: Sequence[Decision], judged: Mapping[Stage, str]
) -> Candidate:
    """How far a candidate came: as was decided, or by the verdicts of each stage on the content that it ``judged``."""
    of_model, decided = judged["evaluation"], in_force(made)
    if decided is not None:
        return Candidate(sha256, decided.status, decided.reason, decided.by, judged=of_model)
    for stage, subject in judged.items():
        gates, name = model_gates(workspace, context, stage), f"{context.model.name}/{NAMES.get(stage, stage)}"
        known = workspace.ledger.judgement(name, subject, gates)
        errored = [known[gate.name] for gate in gates if gate.name in known and known[gate.name].status == "errored"]
        if held := [verdict for verdict in errored if verdict.holds_back]:
            reasons = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in held)
            return Candidate(sha256, "errored", reasons, judged=of_model)
        if unjudged(known, gates):
            missing = [gate.name for gate in gates if gate.blocking and not gate.judged(known.get(gate.name))]
            reason = f"no verdict of {', '.join(missing)} as declared now"
            return Candidate(sha256, "unjudged", reason, judged=of_model)
    return Candidate(sha256, "passed", judged=of_model)
