"""Whether a model is what its manifest gives: its beginning, trained again from the rows that the manifest names.

Of trees that are the first ones; a model without a beginning is trained again as a whole. Trees are grown one after the
other, and equal rows, labels, parameters and seed give equal bytes. So the first ones
already differ where a model has seen other rows than are recorded (its holdout, for one), in another order or with
other labels, and growing them costs a small part of the training.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.foundation.files import sha256_file
from ml_platform.models.predictor import load_predictor
from ml_platform.models.task import task_of
from ml_platform.training.trainer import Frames, Trainer, limited, rounds_of, train

if TYPE_CHECKING:
    from ml_platform.references.refs import ModelRef

#: Boosting rounds that are grown again. The second depends on the predictions of the first.
ROUNDS = 2


class FirstTrees(NamedTuple):
    """The beginning of a model beside that of its manifest."""

    #: Trees (or what else a round makes) that were compared, and those that differ; 1 for the whole model.
    trees: int
    different: int
    #: Labelled rows of the manifest.
    rows: int
    #: Whether the whole model was trained again, since its predictor has no beginning.
    whole: bool = False


def first_trees(file: Path, reference: "ModelRef", trainer: Trainer, frames: Frames, threads: int = 0) -> FirstTrees:
    """Train the beginning of ``reference`` again on ``frames``, the manifest's training part; compare it with ``file``.

    A predictor that has a ``beginning`` (:class:`~ml_platform.models.predictor.OptionalPredictor`) makes that cheap; a
    model without is trained again as a whole. Raises PlatformError as the trainer does.
    """
    parameters = trainer.Parameters.model_validate(reference.parameters)
    task = task_of(reference.task, reference.classes)
    held = load_predictor(reference.format, file, threads, reference.types)
    rounds = rounds_of(trainer, parameters)
    count = min(ROUNDS, rounds) if rounds is not None and hasattr(held, "beginning") else 0
    if count:
        parameters = limited(trainer, parameters, count)
    with tempfile.TemporaryDirectory(prefix="training-") as work:
        trained = train(trainer, frames, reference.features, reference.target, task, parameters, Path(work), threads)
        if not count:
            return FirstTrees(1, int(sha256_file(trained.file) != reference.file_hash), trained.rows, whole=True)
        again = load_predictor(trained.format, trained.file, threads, trained.types)
        ours, theirs = (one.beginning(count) for one in (held, again))  # type: ignore[attr-defined]
    different = sum(left != right for left, right in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))
    return FirstTrees(trees=len(theirs), different=different, rows=trained.rows)
