"""Which model each registered version is, by the ledger: in the registry's tables two that wait could be exchanged, and
a person would approve another model than was looked at.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.itself import gaps
from ml_platform.ledger.kinds import VERSION
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef
from ml_platform.registry.registry import SHA_TAG

if TYPE_CHECKING:
    from ml_platform.ledger.chain import Entry

_WAY_OUT = "restore the registry from a backup, or register the model again under a new number"


def note(workspace: Workspace, version: VersionRef, run: Run, *, new: bool) -> None:
    """Let the ledger name the model of a version; once. ``new``: the registry has just given this number.

    With the first of a model those are taken over that an earlier release registered, as they are then. Raises
    PlatformError where another model was registered under a number that was there before.
    """
    known = _known(workspace, version.model)
    if version.version in known and not new:
        return require(workspace, version)
    versions = [version] if known else workspace.registry.versions(version.model)
    workspace.ledger.decide_each(
        VERSION,
        [
            (one.sha256, _name(one.model), {"version": one.version, "manifest": one.model_ref.manifest_sha256})
            for one in versions
        ],
        run_id=run.id,
        provenance=run.provenance,
    )


def require(workspace: Workspace, version: VersionRef) -> None:
    """Raise PlatformError for a version that is not the one that was registered under its number."""
    if why := doubt(workspace, version):
        raise PlatformError(why)


def doubt(workspace: Workspace, version: VersionRef) -> str:
    """Why a version is not the one that was registered under its number, with the way out; else empty.

    Of a model that this release registered nothing of yet any is believed.
    """
    known = _known(workspace, version.model)
    return _doubt(known, version.model, version.version, version.sha256, version.model_ref.manifest_sha256)


def doubts(workspace: Workspace, model: str) -> Iterator[str]:
    """The same of every version of a model, a line each, and of those that are gone; of their runs nothing is read."""
    known, there = _known(workspace, model), set[int]()
    for number, tags in workspace.registry.tags(model):
        there.add(number)
        if SHA_TAG in tags and (why := _doubt(known, model, number, tags[SHA_TAG])):
            yield why
    accepted = max((gap.sequence for gap in gaps(workspace.ledger)), default=0)
    for number in sorted(known.keys() - there):
        if known[number].sequence > accepted:
            yield (
                f"{model} version {number} ({known[number].subject[:12]}): it was registered, and the registry has it "
                "no more, nor what it noted of the ledger; restore the registry from a backup, or accept that: "
                "ml-platform ledger continue --by NAME --reason TEXT"
            )


def _doubt(known: "dict[int, Entry]", model: str, number: int, sha256: str, manifest: str = "") -> str:
    about, entry = f"{model} version {number}", known.get(number)
    if not known:
        return ""
    if entry is None:
        return f"{about} ({sha256[:12]}): the ledger knows of no registration under this number; {_WAY_OUT}"
    if entry.subject != sha256:
        return f"{about}: {entry.subject[:12]} was registered, and the registry has {sha256[:12]}; {_WAY_OUT}"
    if manifest and entry.body["manifest"] != manifest:
        return f"{about} ({sha256[:12]}): it was registered with another manifest; {_WAY_OUT}"
    return ""


def _known(workspace: Workspace, model: str) -> "dict[int, Entry]":
    """Number to the last entry on it: a registry that was restored gives numbers again."""
    entries = workspace.ledger.entries(subject_name=_name(model), kind=VERSION)
    return {entry.body["version"]: entry for entry in entries}


def _name(model: str) -> str:
    return f"{model}/{VERSION}"
