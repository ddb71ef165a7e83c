"""What became of the model that was trained last, whether anybody decided on it or not."""

from typing import Literal, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference
from ml_platform.pipeline.approval import Outcome, decisions, in_force
from ml_platform.pipeline.judging import model_gates, unjudged
from ml_platform.pipeline.workspace import Workspace


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
        sha256 = workspace.references.load(f"{model}/model").sha256
    except MissingReference:
        # Its reference is gone: the last that gates decided on, or else a person.
        made = decisions(workspace, model)
        if not made:
            return None
        sha256 = next((one.sha256 for one in reversed(made) if not one.by_person), made[-1].sha256)
    decided = in_force(decisions(workspace, model, sha256))
    if decided is not None:
        return Candidate(sha256, decided.status, decided.reason, decided.by)
    gates, name = model_gates(workspace, context, "evaluation"), f"{model}/model"
    known = workspace.ledger.judgement(name, sha256, gates)
    errored = [known[gate.name] for gate in gates if gate.name in known and known[gate.name].status == "errored"]
    if held := [verdict for verdict in errored if verdict.holds_back]:
        return Candidate(sha256, "errored", "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in held))
    if unjudged(known, gates):
        missing = [gate.name for gate in gates if gate.blocking and not gate.judged(known.get(gate.name))]
        return Candidate(sha256, "unjudged", f"no verdict of {', '.join(missing)} as declared now")
    return Candidate(sha256, "passed")
