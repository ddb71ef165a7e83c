"""What the store's server is told when it asks whether a commit may be merged into ``main``."""

from collections.abc import Mapping

from ml_platform.datasets.quarantine import FOLDER as QUARANTINE
from ml_platform.datasets.quarantine import require_named
from ml_platform.datasets.store import MAIN, Change
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import Corrupt, Refused
from ml_platform.gates.stages import ROLLBACK
from ml_platform.pipeline.judging import batch_gates
from ml_platform.pipeline.published import strange
from ml_platform.pipeline.rollback import withdrawal
from ml_platform.pipeline.workspace import Workspace

_BATCHES, _ENDING = "datasets/", ".parquet"


def require_verdicts(workspace: Workspace, datasets: Mapping[str, DatasetSpec], source: str) -> None:
    """Raise Refused unless the ledger allows everything that a merge of ``source`` would change on ``main``.

    A new batch needs the verdicts of its declared gates on exactly its content, or a rollback that made it
    current again; a batch may vanish only where a rollback took it back; nothing else may change. Where
    neither the name nor the ledger tells, the answer is no.
    """
    changes = workspace.store.diff(MAIN, source)
    # What got in unasked may always be taken out.
    removed = {change.path for change in changes if change.type == "removed"}
    unasked = {one.path for one in strange(workspace)} if removed else set()
    for change in changes:
        if change.path not in removed & unasked:
            _require(workspace, datasets, source, change)


def _require(workspace: Workspace, datasets: Mapping[str, DatasetSpec], source: str, change: Change) -> None:
    dataset, _, file = change.path.removeprefix(_BATCHES).partition("/")
    spec = datasets.get(dataset)
    if spec is None or not change.path.startswith(_BATCHES) or not file.endswith(_ENDING):
        raise Refused(f"{change.path} is no batch of a declared dataset; publish data through the platform")
    partition = file.removeprefix(QUARANTINE).removesuffix(_ENDING)
    try:
        # What was set aside is named by the batch's own content, which is judged.
        require_named(workspace.store, workspace.store.resolve(source), dataset, partition)
    except Corrupt as error:
        raise Refused(str(error)) from error
    if file.startswith(QUARANTINE):
        return
    name = f"{spec.prefix}{partition}"
    held = workspace.store.stat(MAIN if change.type == "removed" else source, change.path).sha256
    why = withdrawal(workspace, dataset, partition, held)
    if change.type == "removed":
        if not why:
            raise Refused(f"{name} ({held[:12]}) is published and was not withdrawn; use ml-platform data rollback")
        return
    if why:
        raise Refused(f"{name} ({held[:12]}) was {why}")
    if ROLLBACK not in workspace.ledger.judgement(name, held):
        workspace.ledger.require(held, batch_gates(workspace, spec), subject_name=name)
