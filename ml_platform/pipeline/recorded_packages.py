"""Which packages were made here, by the ledger: folder and reference of a package are files that anybody can edit."""

import json

from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import PACKAGING
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef

#: Folder of packaged services, below the folder of a run's outputs.
BENTOS = "bentos"


def note(workspace: Workspace, version: VersionRef, sha256: str, context: str, run: Run) -> None:
    """Let the ledger name a package of a version, and the context that it was made in."""
    workspace.ledger.decide(
        PACKAGING,
        subject=sha256,
        subject_name=_name(version.model),
        body={"version": version.version, "context": context},
        run_id=run.id,
        provenance=run.provenance,
    )


def contexts(workspace: Workspace, model: str, sha256: str) -> set[str]:
    """In which contexts a package was made; none for one that an earlier release made, or nobody."""
    entries = workspace.ledger.entries(subject=sha256, subject_name=_name(model), kind=PACKAGING)
    return {entry.body["context"] for entry in entries}


def of_an_earlier_release(workspace: Workspace, version: VersionRef, sha256: str) -> bool:
    """Whether an earlier release made and judged this package of a version, and let its gates pass it.

    Such a release named no package in the ledger, this one names each: what an editor makes now has neither a verdict
    nor, once it is judged, no maker. Which version a package is of, its own content says.
    """
    from ml_platform.serving import bundle
    from ml_platform.serving.packaging import kept

    if contexts(workspace, version.model, sha256):
        return False
    verdicts = workspace.ledger.judgement(_name(version.model), sha256).values()
    judged = [verdict for verdict in verdicts if verdict.blocking]
    there = kept(workspace.settings.local / BENTOS, version.model, version.version, sha256)
    if not judged or any(verdict.holds_back for verdict in judged) or there is None:
        return False
    described = json.loads((there[1] / bundle.SOURCE / bundle.FOLDER / bundle.SERVICE).read_bytes())
    wanted = {"model": version.model, "version": version.version, "model_sha256": version.model_ref.file_hash}
    return all(described.get(name) == value for name, value in wanted.items())


def _name(model: str) -> str:
    return f"{model}/service"
