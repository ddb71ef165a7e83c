"""Which version is the champion, by the ledger: the alias in the registry is a tag that anybody can move or delete."""

from collections.abc import Iterator
from typing import NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.chain import Entry
from ml_platform.ledger.kinds import PROMOTION
from ml_platform.pipeline import recorded_trainings
from ml_platform.pipeline.decisions import rejected, spoken
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
    return next((one.version for one in rivals(workspace, model)), None)


class Rival(NamedTuple):
    """A version that is, or was, the champion."""

    version: VersionRef
    #: Whether a person rejected it: it may still answer, and is no bar for those that come.
    rejected: bool


def rivals(workspace: Workspace, model: str) -> Iterator[Rival]:
    """The champion and those that it would go back to, in that order. Raises as :func:`champion`, one by one."""
    standing = in_force(workspace, model)
    for promoted in reversed(standing):
        version = _registered(workspace, model, promoted)
        yield Rival(version, rejected(workspace, version.model_ref))
    if not standing:
        for version in (workspace.registry.champion(model), workspace.registry.previous(model)):
            if (known := _as_trained(workspace, version)) is not None:
                yield Rival(known, rejected(workspace, known.model_ref))


def compared(workspace: Workspace, model: str) -> list[VersionRef]:
    """Those of :func:`rivals` that must be at hand where a model is judged: as far as to the second that no person
    rejected, since the first of them is judged beside the second."""
    found: list[Rival] = []
    for one in rivals(workspace, model):
        found.append(one)
        if sum(not known.rejected for known in found) == 2:
            break
    return [one.version for one in found]


def adopt(workspace: Workspace, other: Workspace, model: str, run: Run) -> None:
    """Let the ledger of a trial know the promotions of the one that it is a trial for, what people decided on what was
    promoted, and the trainings of both."""
    entries = _entries(other, model)
    for version in compared(other, model):
        recorded_trainings.note(workspace, version.model_ref, run)
        recorded_trainings.note(workspace, version.model_ref.evaluated, run)
        if rejected(other, version.model_ref):
            entries += spoken(other, version.model_ref)
    for entry in entries:
        workspace.ledger.decide(
            entry.kind,
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
