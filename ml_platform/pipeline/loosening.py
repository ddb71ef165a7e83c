"""What a version was registered under, what has become of its gates since, and who accepted that they are looser."""

from typing import Any, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.words import require_words
from ml_platform.gates.changes import Change, changes
from ml_platform.ledger.kinds import APPROVAL, LOOSENING, PROMOTION, REGISTRATION, VERDICT
from ml_platform.pipeline import champions
from ml_platform.pipeline.decisions import DECLARED, GATES
from ml_platform.pipeline.declared import declared, read_otherwise
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef
from ml_platform.rollout.changes import SUPERVISOR


class Seen(NamedTuple):
    """A change of a gate since the champion was registered."""

    #: The champion.
    version: int
    change: Change
    #: Who accepted it, and why; empty where nobody did.
    accepted: str


def since_champion(workspace: Workspace, context: ModelContext) -> list[Seen]:
    """What became of the gates since the champion was registered; nothing where there is no champion."""
    model = context.model.name
    champion = champions.champion(workspace, model)
    if champion is None:
        return []
    before, now = _registered_under(workspace, context, champion), declared(context)
    found = [
        change
        for asset in dict.fromkeys([*before["gates"], *now["gates"]])
        for change in changes(asset, before["gates"].get(asset, []), now["gates"].get(asset, []))
    ]
    found += read_otherwise(context, before["read"], now["read"])
    accepted: dict[tuple[str, ...], str] = {}
    for entry in workspace.ledger.entries(subject=champion.sha256, subject_name=_name(model), kind=LOOSENING):
        for change in entry.body["changes"]:
            accepted[tuple(change)] = f"{entry.body['by']}: {entry.body['because']}"
    return [Seen(champion.version, change, accepted.get(tuple(change), "")) for change in found]


def require_accepted(workspace: Workspace, context: ModelContext) -> None:
    """Where a person approves: raise Refused by name for gates looser than the champion's that nobody accepted."""
    if workspace.settings.approval != "person":
        return
    found = [one for one in since_champion(workspace, context) if one.change.looser and not one.accepted]
    if found:
        model = context.model.name
        told = "; ".join(f"{one.change.gate} of {one.change.asset} {one.change.text}" for one in found)
        raise Refused(
            f"{model}: gates are looser than those of version {found[0].version}, the champion, at its registration: "
            f"{told}. A person has to accept that: ml-platform loosen {model} --by NAME --reason WHY",
            because=f"looser gates: {', '.join(dict.fromkeys(one.change.gate for one in found))}",
        )


def accept(workspace: Workspace, context: ModelContext, *, by: str, reason: str, run: Run) -> list[Seen]:
    """Accept, in a person's name, every gate that is looser than the champion's; returns what was new.

    It holds for exactly these changes of this champion's gates. Raises PlatformError without a name or a reason.
    """
    model = context.model.name
    require_person(f"looser gates of {model}", by, reason)
    found = [one for one in since_champion(workspace, context) if one.change.looser and not one.accepted]
    champion = champions.champion(workspace, model)
    if champion is None:
        raise PlatformError(f"{model} has no champion whose gates could be loosened; deploy a first version")
    if found:
        workspace.ledger.decide(
            LOOSENING,
            subject=champion.sha256,
            subject_name=_name(model),
            body={
                "by": by,
                "because": reason,
                "version": champion.version,
                "changes": [list(one.change) for one in found],
            },
            run_id=run.id,
            provenance=run.provenance,
        )
    return found


def require_person(about: str, by: str, reason: str) -> None:
    """Raise PlatformError for a decision without a name or a reason, or in the name of the machine."""
    require_words(about, by=by, reason=reason)
    if by.strip().lower() in (GATES, SUPERVISOR):
        raise PlatformError(f"{about}: {by!r} is what the machine decides as; give the name of a person")


def _registered_under(workspace: Workspace, context: ModelContext, version: VersionRef) -> dict[str, Any]:
    """As :func:`~ml_platform.pipeline.declared.declared` gave it when the version was registered or approved last."""
    name = f"{version.model}/model"
    entries = [
        entry
        for kind in (REGISTRATION, APPROVAL)
        for entry in workspace.ledger.entries(subject=version.sha256, subject_name=name, kind=kind)
    ]
    entries.sort(key=lambda entry: entry.sequence)
    if noted := [entry.body[DECLARED] for entry in entries if DECLARED in entry.body]:
        return noted[-1]
    return _by_verdicts(workspace, context, version, entries[0].sequence if entries else None)


def _by_verdicts(workspace: Workspace, context: ModelContext, version: VersionRef, until: int | None) -> dict[str, Any]:
    """What verdicts say of the gates of a version that an earlier release registered: threshold and severity."""
    last = version.model_ref.evaluated.split.newest
    dataset, model = context.dataset.name, version.model
    service = [
        entry.body["service"]
        for entry in workspace.ledger.entries(subject=version.sha256, subject_name=f"{model}/champion", kind=PROMOTION)
    ]
    subjects = {
        f"{dataset}/batch": last.inputs.get(f"{dataset}/{last.partition}", ""),
        context.feature_set.key: last.sha256,
        f"{model}/split": version.model_ref.evaluated.split.sha256,
        f"{model}/evaluation": version.model_ref.evaluated.sha256,
        # Judged after the registration, as is the deployment of the same package.
        f"{model}/service": service[-1] if service else "",
        f"{model}/deployment": service[-1] if service else "",
    }
    gates: dict[str, list[dict[str, Any]]] = {}
    for asset, subject in subjects.items():
        stage = asset.rpartition("/")[2] if asset != context.feature_set.key else "features"
        after = stage in ("service", "deployment")
        known = {
            entry.gate: entry.body
            for entry in (workspace.ledger.entries(subject=subject, kind=VERDICT) if subject else [])
            if entry.body["stage"] == stage and (after or until is None or entry.sequence <= until)
        }
        gates[asset] = [
            {"name": name, **{key: body[key] for key in ("threshold", "blocking", "declaration")}}
            for name, body in known.items()
        ]
    return {"gates": gates, "read": {}}


def _name(model: str) -> str:
    return f"{model}/gates"
