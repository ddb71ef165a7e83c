"""A replay with what a workspace and the declarations say about the model."""

from collections.abc import Callable
from contextlib import suppress

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import MissingReference
from ml_platform.gates.replay import Replay
from ml_platform.pipeline.recorded_evaluations import kept
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef
from ml_platform.replay import replay as replays


def replay(
    workspace: Workspace,
    catalogue: Catalogue,
    reference: ModelRef,
    *,
    environment: replays.Environment = "present",
    say: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Rebuild a model and compare it with what was recorded; see :func:`ml_platform.replay.replay.replay`."""
    evaluation = None
    if reference.judged is None:
        with suppress(MissingReference):
            evaluation = kept(workspace, reference)
    spec = catalogue.feature_set(reference.split.dataset)
    return replays.replay(
        reference,
        store=workspace.store,
        evaluation=evaluation,
        feature_set=spec,
        partitions=catalogue.dataset(spec.dataset).partitions,
        threshold=catalogue.model(reference.model).decision_threshold,
        local=workspace.settings.local,
        threads=workspace.settings.threads,
        environment=environment,
        say=say,
    )
