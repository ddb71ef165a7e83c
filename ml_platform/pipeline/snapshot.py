"""A history for a version: what it is made from."""

from typing import Any

from ml_platform.datasets import batches
from ml_platform.declarations.context import ModelContext
from ml_platform.pipeline import provisional
from ml_platform.pipeline.workspace import Workspace


def about(workspace: Workspace, context: ModelContext, taken: provisional.Provisional | None = None) -> dict[str, Any]:
    """What a history is made from: contents of published partitions, and of the one that is under way."""
    published = batches.published(workspace.store, context.dataset.name)
    return {
        "features": context.feature_set.key,
        "contents": {name: info.sha256 for name, info in sorted(published.items())},
        "provisional": taken._asdict() if taken else None,
    }
