"""The texts that a model has learned from, for its service to tell those that it has not."""

from typing import TYPE_CHECKING

from ml_platform.datasets.batches import read_batch
from ml_platform.features import parts
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, SplitRef

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.serving.schema import RequestSchema


def of(workspace: Workspace, dataset: str, split: SplitRef, request: "RequestSchema") -> dict[str, tuple[str, ...]]:
    """The texts that the rows of training have, by column of ``dataset`` that is asked for; see
    :mod:`ml_platform.serving.known`.

    Raises NotFound for a batch that was never published.
    """
    from ml_platform.serving.known import known_texts, texts_of

    names = texts_of(request)

    def rows(entry: ManifestEntry) -> "pl.DataFrame":
        content = entry.inputs[f"{dataset}/{entry.partition}"]
        raw = read_batch(workspace.store, dataset, entry.partition, content, names)
        if (part := entry.part) is None:
            return raw
        # By its row in the batch: what divides the rows may be a slice that the feature function makes.
        (whole,) = workspace.steps.evaluation_frames(workspace.store, (entry.model_copy(update={"part": None}),))
        return raw[parts.of(whole.select(part.by).with_row_index("row in the batch"), part)["row in the batch"]]

    return known_texts(map(rows, split.train), names) if names else {}
