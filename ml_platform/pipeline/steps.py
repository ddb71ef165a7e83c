"""The steps of the loop that somebody may exchange: a proof breaks one of them, a project may bring its own.

Each default does what its module says; modules are imported when a step runs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_platform.features.growing import from_tables
from ml_platform.references.refs import ManifestEntry
from ml_platform.training.split import Plan, by_group, plan
from ml_platform.training.trainer import Trainer, trainer_of

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.datasets.store import VersionedStore
    from ml_platform.features.contract import FeatureFunction
    from ml_platform.features.history import History
    from ml_platform.serving.packaging import Packaged


def frames(store: "VersionedStore", entries: tuple[ManifestEntry, ...]) -> "Iterator[pl.DataFrame]":
    """The rows of manifest entries, in order, each from a file that is verified against its hash."""
    from ml_platform.datasets import batches
    from ml_platform.features import parts

    for entry in entries:
        yield parts.of(batches.read_at(store, entry.commit, entry.path, entry.sha256), entry.part)


def package(*arguments: Any, **options: Any) -> "Packaged":
    """See :func:`ml_platform.serving.packaging.package`."""
    from ml_platform.serving.packaging import package

    return package(*arguments, **options)


@dataclass(frozen=True)
class Steps:
    """What the loop does at each of these places."""

    plan: Callable[..., Plan] = plan
    by_group: Callable[..., Plan] = by_group
    #: Frames that a model is trained on, and those that it is evaluated with.
    training_frames: "Callable[[VersionedStore, tuple[ManifestEntry, ...]], Iterator[pl.DataFrame]]" = frames
    evaluation_frames: "Callable[[VersionedStore, tuple[ManifestEntry, ...]], Iterator[pl.DataFrame]]" = frames
    #: The trainer of a name.
    trainer: Callable[[str], Trainer] = trainer_of
    #: What tells a changed training from the sound one, so that neither adopts the other's models.
    training_code: str = ""
    history: "Callable[[FeatureFunction, Iterable[pl.DataFrame], int, History | None], History]" = from_tables
    package: "Callable[..., Packaged]" = package
