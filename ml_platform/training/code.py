"""When two trainings are the same: versions of the code that trains, and the key of everything that decides bytes."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from pydantic import BaseModel

from ml_platform.foundation.earlier import FIRST_TRAINER
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.objects import import_path
from ml_platform.foundation.user_code import of_platform, user_code_version
from ml_platform.references.refs import SplitRef
from ml_platform.training.trainer import TRAINERS, Trainer


def code_versions(name: str, trainer: Trainer, changed: str = "") -> tuple[str, ...]:
    """Version of the code that turns feature frames into a model, and how earlier releases wrote the same.

    Of the platform's trainers that is a number. A trainer of one's own, ``name`` as it is declared, is known by what
    its code does too, with the modules of the project that it imports. ``changed`` tells a training that is not the
    sound one, so that neither adopts the other's models. Raises UnknownModule where its module cannot be found.
    """
    libraries = [f"{name}-{version(name)}" for name in trainer.libraries]
    path, number = import_path(TRAINERS, name, "trainer"), str(trainer.version)
    own = not of_platform(path)
    code = f"{number}.{user_code_version(path)}" if own else number
    if changed:
        return ("-".join([code, changed, *libraries]),)
    # What code of one's own was under a bare number, nobody knows.
    return tuple("-".join([one, *libraries]) for one in (code, *(() if own else trainer.equal_versions)))


def plain(parameters: BaseModel) -> dict[str, Any]:
    """Every parameter that is set, as JSON holds it: for a reference, a key, or a run's parameters."""
    return parameters.model_dump(mode="json", exclude_none=True)


class Recipe(NamedTuple):
    """Everything but the rows that decides the bytes of a model."""

    trainer: str
    task: str
    target: str
    #: Names of the features, in order.
    names: Sequence[str]
    parameters: BaseModel
    #: Identifies the code that trains (:func:`code_versions`); that of the features is in the manifest, by content.
    code: str
    classes: Sequence[str] = ()

    @property
    def sha256(self) -> str:
        """Its hash."""
        parts = [self.trainer, self.task, self.target, list(self.names), plain(self.parameters), self.code]
        return sha256_bytes(canonical_json([*parts, list(self.classes)]))

    def key(self, split: SplitRef) -> str:
        """Hash of it and the rows of a manifest, so that equal trainings are found again."""
        return sha256_bytes(
            canonical_json(
                {
                    "manifest": split.sha256,
                    "task": self.task,
                    "target": self.target,
                    "features": list(self.names),
                    "parameters": plain(self.parameters),
                    "code_version": self.code,
                    **({"classes": list(self.classes)} if self.classes else {}),
                    **({"trainer": self.trainer} if self.trainer != FIRST_TRAINER else {}),
                }
            )
        )
