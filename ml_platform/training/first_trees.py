"""Whether a model is what its manifest gives: its first trees, grown again from the rows that the manifest names.

Trees are grown one after the other, and equal rows, labels, parameters and seed give equal bytes. So the first ones
already differ where a model has seen other rows than are recorded (its holdout, for one), in another order or with
other labels, and growing them costs a small part of the training.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.training.parameters import TrainingParameters
from ml_platform.training.train import load_booster, train

if TYPE_CHECKING:
    import polars as pl
    import xgboost

    from ml_platform.references.refs import ModelRef

#: Boosting rounds that are grown again. The second stands on the predictions of the first.
ROUNDS = 2


class FirstTrees(NamedTuple):
    """The first trees of a model beside those of its manifest."""

    #: Trees that were compared, and those that differ.
    trees: int
    different: int
    #: Labelled rows of the manifest.
    rows: int


def first_trees(
    booster: "xgboost.Booster", reference: "ModelRef", frames: "Iterable[pl.DataFrame]", threads: int = 0
) -> FirstTrees:
    """Grow the first trees of ``reference`` again on ``frames``, the manifest's training part, and compare.

    Raises PlatformError as :func:`~ml_platform.training.train.train` does.
    """
    recorded = TrainingParameters.model_validate(reference.parameters)
    rounds = min(ROUNDS, recorded.rounds)
    trained = train(
        frames,
        reference.features,
        reference.target,
        reference.task,
        recorded.model_copy(update={"rounds": rounds}),
        threads,
        reference.classes,
    )
    again = load_booster(trained.content, threads)
    ours, theirs = (
        one[:rounds].get_dump(with_stats=True, dump_format="json") if one.num_boosted_rounds() else []
        for one in (booster, again)
    )
    different = sum(left != right for left, right in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))
    return FirstTrees(trees=len(theirs), different=different, rows=trained.rows)
