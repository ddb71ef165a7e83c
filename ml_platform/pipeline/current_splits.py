"""Whether a split is the one to learn from now: the newest that was made, of nothing that was taken out since.

References to splits are files: whoever puts an old one back could have a model judged on a holdout that it passes.
"""

from ml_platform.foundation.errors import Refused
from ml_platform.gates.stages import ROLLBACK
from ml_platform.ledger.kinds import SPLIT, VERDICT
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import SplitRef, VersionRef


def require(workspace: Workspace, split: SplitRef) -> None:
    """Raise Refused where a later split was made, or content of this one was taken out."""
    if why := superseded(workspace, split) or taken_out(workspace, split):
        raise Refused(
            f"{split.model}/split ({split.sha256[:12]}): {why}; materialize {split.model}/split and what follows again",
            because="its split is not the one of now",
        )


def require_published(workspace: Workspace, version: VersionRef) -> None:
    """Raise Refused where something that a version learned from, or was judged on, was taken out since."""
    if gone := taken_out(workspace, version.model_ref.split):
        raise Refused(
            f"{version.model} version {version.version} learned from what is published no more: {gone}; ml-platform "
            f"train {version.model} makes one without",
            because="it learned from withdrawn data",
        )


def superseded(workspace: Workspace, split: SplitRef) -> str:
    """That another split of the model was made after this one; empty where none was.

    An earlier release named no split in the ledger, and judged each.
    """
    about = f"{split.model}/split"
    for kind in (SPLIT, VERDICT):
        made = workspace.ledger.entries(subject_name=about, kind=kind, newest=1)
        if made:
            newest = made[0]
            if newest.subject == split.sha256:
                return ""
            return f"a later one ({newest.subject[:12]}) was made at {newest.at:%Y-%m-%d %H:%M}"
    return ""


def contents(split: SplitRef) -> dict[str, str]:
    """The raw content that a split learns from or is judged on, by the name that the ledger has for it."""
    named = (item for entry in split.learned for item in entry.inputs.items())
    return {"/batch/".join(name.split("/", 1)): sha256 for name, sha256 in named}


def taken_out(workspace: Workspace, split: SplitRef) -> str:
    """Which of its contents were taken out since, and why; empty where none was."""
    held = workspace.ledger.held_back(contents(split))
    gone = {name: one for name, verdicts in held.items() for one in verdicts if one.gate == ROLLBACK}
    return "; ".join(f"{name} was {one.reason}" for name, one in sorted(gone.items()))
