"""Which version is the champion, by the ledger: the alias in the registry is a tag that anybody can move or delete."""

from typing import NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.chain import Entry
from ml_platform.ledger.kinds import PROMOTION
from ml_platform.pipeline import recorded_trainings
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef
from ml_platform.registry.registry import CHAMPION


class Promotion(NamedTuple):
    """A package that went live, as the ledger has it: a record and a folder can be edited by hand."""

    version: int
    #: Content hash of the package; empty where an early release did not write it.
    sha256: str
    #: The model, as its reference names it.
    model_sha256: str
    #: The version that a way back has left for it; 0 where it was rolled out.
    instead_of: int = 0


def promotions(workspace: Workspace, model: str) -> list[Promotion]:
    """Every package of a model that went live, the newest last."""
    return [
        Promotion(
            int(entry.body["version"]),
            str(entry.body.get("service", "")),
            entry.subject,
            int(entry.body.get("instead_of") or 0),
        )
        for entry in _entries(workspace, model)
    ]


def in_force(workspace: Workspace, model: str) -> list[Promotion]:
    """Promotions in force, like a stack: going back to an earlier version forgets what came after it, and what a way
    back has left."""
    found: list[Promotion] = []
    for one in promotions(workspace, model):
        versions = [known.version for known in found]
        if one.version in versions:
            found = found[: versions.index(one.version)]
        found = [*(known for known in found if known.version != one.instead_of), one]
    return found


def promoted(workspace: Workspace, model: str, version: int, sha256: str) -> bool:
    """Whether this very package went live, as this version."""
    return any((one.version, one.sha256) == (version, sha256) for one in promotions(workspace, model))


def aliases(workspace: Workspace, model: str) -> dict[str, int]:
    """Alias to version, as people ask for one: ``champion`` is what the ledger promoted last, if it ever did.

    Whatever became of that version since; what compares with it asks for the :func:`champion`. Raises MissingReference
    for a model that was never registered.
    """
    named, standing = workspace.registry.aliases(model), in_force(workspace, model)
    return {**named, CHAMPION: standing[-1].version} if standing else named


def find(workspace: Workspace, model: str, which: str) -> VersionRef:
    """A version by its number (``2``, ``v2``) or one of :func:`aliases`. Raises MissingReference for any other."""
    number = which.removeprefix("v")
    if number.isdigit():
        return workspace.registry.get(model, int(number))
    return workspace.registry.get(model, aliases(workspace, model).get(which, which))


def champion(workspace: Workspace, model: str) -> VersionRef | None:
    """The version that was promoted last; None where none ever was and no version has the alias.

    Raises MissingReference where it is registered no more, PlatformError where its number names another model now or
    its reference was edited.
    """
    standing = in_force(workspace, model)
    if standing:
        return _registered(workspace, model, standing[-1])
    return _as_trained(workspace, workspace.registry.champion(model))


def before(workspace: Workspace, model: str) -> VersionRef | None:
    """The version that was champion before the one that is now. Raises as :func:`champion`."""
    standing = in_force(workspace, model)
    if not standing:
        return _as_trained(workspace, workspace.registry.previous(model))
    return _registered(workspace, model, standing[-2]) if len(standing) > 1 else None


def adopt(workspace: Workspace, other: Workspace, model: str, run: Run) -> None:
    """Let the ledger of a trial know the promotions of the one that it is a trial for, and the trainings of both."""
    for version in (champion(other, model), before(other, model)):
        if version is not None:
            recorded_trainings.note(workspace, version.model_ref, run)
            recorded_trainings.note(workspace, version.model_ref.evaluated, run)
    for entry in _entries(other, model):
        workspace.ledger.decide(
            PROMOTION,
            subject=entry.subject,
            subject_name=entry.subject_name,
            body=entry.body,
            run_id=run.id,
            provenance=run.provenance,
        )


def _entries(workspace: Workspace, model: str) -> list[Entry]:
    return workspace.ledger.entries(subject_name=f"{model}/champion", kind=PROMOTION)


def _registered(workspace: Workspace, model: str, promoted: Promotion) -> VersionRef:
    version = workspace.registry.get(model, promoted.version)
    if version.sha256 != promoted.model_sha256:
        raise PlatformError(
            f"{model} version {version.version}: the ledger promoted model {promoted.model_sha256[:12]}, the registry "
            f"has {version.sha256[:12]} under its number; restore the registry from a backup"
        )
    recorded_trainings.require_known(workspace, version.model_ref)
    return version


def _as_trained(workspace: Workspace, version: VersionRef | None) -> VersionRef | None:
    if version is not None:
        recorded_trainings.require_known(workspace, version.model_ref)
    return version
