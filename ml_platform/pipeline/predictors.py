"""Models of references, ready to predict: each by the code that it was trained with."""

from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import Refused
from ml_platform.models.code import PREDICTOR, changed
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluate import Loaded
    from ml_platform.models.predictor import Predictor


def loaded(workspace: Workspace, reference: ModelRef) -> "Loaded":
    """The model of a reference, ready to predict."""
    from ml_platform.evaluation.evaluate import Loaded

    file = workspace.tracking.model_path(reference)
    return Loaded(reference, predictor(workspace, reference, workspace.settings.threads), file.stat().st_size)


def predictor(workspace: Workspace, reference: ModelRef, threads: int) -> "Predictor":
    """What predicts by the model of a reference: where its predictor was written otherwise, by the code of its commit.

    Raises PlatformError where that commit has not the code that the model was trained with.
    """
    from ml_platform.models.predictor import load_predictor
    from ml_platform.replay.earlier import EarlierPredictor

    file = workspace.tracking.model_path(reference)
    # Models of earlier releases name no code: they are what is written now, as they always were.
    if PREDICTOR not in reference.code or PREDICTOR not in changed(reference.code, reference.task, reference.format):
        return load_predictor(reference.format, file, threads, reference.types)
    # It has what a loaded model has, and nothing of a class that loads.
    earlier: Any = EarlierPredictor(reference, file, threads)
    return earlier


def require_code(reference: ModelRef) -> None:
    """Raise Refused for a model whose task or predictor is written otherwise now, or stands elsewhere: it is another
    model, or has to be registered by its new name."""
    if other := changed(reference.code, reference.task, reference.format):
        raise Refused(
            f"{reference.model} ({reference.sha256[:12]}) was trained with other code of its {' and '.join(other)}; "
            f"train it again (job {reference.model}_train), or put back the code of commit "
            f"{reference.provenance.code_commit[:12]}",
            because=f"other code of its {' and '.join(other)}",
        )
