"""Who judges which stage of a model."""

from collections.abc import Callable

from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import Stage
from ml_platform.pipeline import evaluation, model, release

#: Stages of a model that have gates (named as their assets are), and what judges them.
INSPECTIONS: dict[Stage, Callable[..., list[Verdict]]] = {
    "split": model.inspect_split,
    "evaluation": evaluation.inspect_evaluation,
    "refit": evaluation.inspect_refit,
    "service": release.inspect_service,
    "deployment": release.inspect_deployment,
}
