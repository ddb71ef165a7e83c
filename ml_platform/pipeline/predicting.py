"""Models of references, ready to predict."""

from typing import TYPE_CHECKING

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
    """What predicts by the model of a reference."""
    from ml_platform.models.predictor import load_predictor

    return load_predictor(reference.format, workspace.tracking.model_path(reference), threads, reference.types)
