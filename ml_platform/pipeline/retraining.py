"""Whether a model is to be trained: the facts, from store, ledger and references, for the decision of ``live``."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.chain import Entry
from ml_platform.ledger.kinds import RETRAIN
from ml_platform.live.retraining import Decision, Facts, decide
from ml_platform.pipeline import automation, champions, performance, recorded_trainings, training
from ml_platform.pipeline.backlog import training_outcome
from ml_platform.pipeline.decisions import decisions
from ml_platform.pipeline.drift import seen
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, ModelRef, SplitRef
from ml_platform.training.split import Differences, differences


class Proposal(NamedTuple):
    """What was decided on a model, and for which training."""

    decision: Decision
    #: What it would be trained on; None where it cannot be.
    split: SplitRef | None
    #: Trainings on exactly this that were begun before.
    attempts: int
    #: The order of a person that is carried out; 0: none.
    order: int = 0

    @property
    def reason(self) -> str:
        """Names what a training is for: model and content."""
        assert self.split is not None
        return f"{self.split.model}/{self.split.sha256}"


def propose(
    workspace: Workspace,
    context: ModelContext,
    *,
    busy: str = "",
    paused: str = "",
    attempts: Callable[[str], int],
    obeyed: Callable[[str], int],
) -> Proposal:
    """Decide on a model. ``busy``: what is under way; ``attempts``: how many trainings were begun for a reason
    (:attr:`Proposal.reason`), ``obeyed``: and for an order, ``model/number``."""
    name, now = context.model.name, workspace.now()
    if busy or paused:
        return Proposal(decide(context.model.retrain, Facts(name, now, busy=busy, paused=paused)), None, 0)
    try:
        features = workspace.references.all(context.feature_set.key)
        split = training.split(workspace, context, features, Run(id="sensor"))
        outcome = training_outcome(workspace, context, split)
    except PlatformError as error:
        return Proposal(decide(context.model.retrain, Facts(name, now, problem=str(error))), None, 0)
    begun = attempts(f"{name}/{split.sha256}")
    order = automation.ordered(workspace, name)
    open_order = order if order is not None and not obeyed(f"{name}/{order.sequence}") else None
    before = last_split(workspace, name)
    changed = differences(before, split) if before is not None else Differences()
    last, recent = _requests(workspace, name, split.sha256, now)
    refused, accepted = refused_in_a_row(workspace, name)
    facts = Facts(
        name,
        now,
        span=f"trained on {_span(split.train)}, held out {_span(split.holdout)}",
        outcome=outcome,
        trained=before is not None,
        unfinished=before is not None and before.sha256 == split.sha256,
        **changed._asdict(),
        drifted=_drifted(workspace, name),
        fallen=performance.fallen(workspace, context),
        last=last,
        recent=recent,
        refused=refused if accepted else 0,
        attempts=begun,
        asked=open_order.said if open_order else "",
        skipped=automation.skipped(workspace, name, split.sha256),
    )
    decided = decide(context.model.retrain, facts)
    return Proposal(decided, split, begun, open_order.sequence if open_order else 0)


def record(workspace: Workspace, proposal: Proposal) -> None:
    """Write to the ledger why and when a training is asked for; once, however often the same is asked."""
    split, run = proposal.split, Run(id="sensor")
    assert split is not None
    name = f"{split.model}/{RETRAIN}"
    body = {
        "because": proposal.decision.said,
        "causes": list(proposal.decision.causes),
        "attempt": proposal.attempts + 1,
    }
    before = workspace.ledger.entries(subject=split.sha256, subject_name=name, kind=RETRAIN, newest=1)
    if before and body.items() <= before[0].body.items():
        return
    workspace.ledger.decide(
        RETRAIN,
        subject=split.sha256,
        subject_name=name,
        body={**body, "now": workspace.now().isoformat()},
        run_id=run.id,
        provenance=run.provenance,
    )


def last_split(workspace: Workspace, model: str) -> SplitRef | None:
    """What a model was trained on last; None where it never was, or where its reference says otherwise now."""
    found: ModelRef | None = workspace.latest(f"{model}/model")
    return found.split if found and recorded_trainings.known(workspace, found) else None


def refused_in_a_row(workspace: Workspace, model: str) -> tuple[int, bool]:
    """How many candidates were refused in a row at last, and whether one was ever accepted."""
    newest: dict[str, str] = {}
    for one in decisions(workspace, model):
        newest.pop(one.sha256, None)
        newest[one.sha256] = one.status
    refused = [*takewhile(lambda status: status == "rejected", reversed(newest.values()))]
    return len(refused), "approved" in newest.values()


def _requests(workspace: Workspace, model: str, split: str, now: datetime) -> tuple[datetime | None, int]:
    """When a training on something else was asked for last, and on how many contents in the last 24 hours."""
    entries = [
        entry
        for entry in workspace.ledger.entries(subject_name=f"{model}/{RETRAIN}", kind=RETRAIN, newest=100)
        if entry.subject != split
    ]
    recent = {entry.subject for entry in entries if now - _asked(entry) < timedelta(days=1)}
    return (_asked(entries[-1]) if entries else None), len(recent)


def _asked(entry: Entry) -> datetime:
    """When a training was asked for, by the clock that limits go by; earlier releases noted wall time only."""
    return datetime.fromisoformat(entry.body["now"]) if "now" in entry.body else entry.at


def _drifted(workspace: Workspace, model: str) -> dict[str, str]:
    """What drifted from what the champion learned, as it was seen last."""
    found = seen(workspace, model)
    if not found or not found["drifted"]:
        return {}
    champion = champions.champion(workspace, model) or workspace.registry.latest(model)
    return found["drifted"] if champion is not None and found["version"] == champion.version else {}


def _span(entries: tuple[ManifestEntry, ...]) -> str:
    return " to ".join(dict.fromkeys((entries[0].label, entries[-1].label)))
