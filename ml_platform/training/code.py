"""When two trainings are the same: versions of the code that trains, and the key of everything that decides bytes."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.references.refs import SplitRef
from ml_platform.training.trainer import FIRST_TRAINER, Trainer


def code_versions(trainer: Trainer, changed: str = "") -> tuple[str, ...]:
    """Version of the code that turns feature frames into a model, and how earlier releases wrote the same.

    ``changed`` tells a training that is not the sound one, so that neither adopts the other's models.
    """
    libraries = [f"{name}-{version(name)}" for name in trainer.libraries]
    if changed:
        return ("-".join([str(trainer.version), changed, *libraries]),)
    return tuple("-".join([code, *libraries]) for code in (str(trainer.version), *trainer.equal_versions))


def plain(parameters: BaseModel) -> dict[str, Any]:
    """Every parameter that is set, as JSON holds it: for a reference, a key, or a run's parameters."""
    return parameters.model_dump(mode="json", exclude_none=True)


def recipe(
    trainer: str,
    task: str,
    target: str,
    names: Sequence[str],
    parameters: BaseModel,
    code_version: str,
    classes: Sequence[str] = (),
) -> str:
    """Hash of everything but the rows that decides the bytes of a model."""
    return sha256_bytes(
        canonical_json([trainer, task, target, list(names), plain(parameters), code_version, list(classes)])
    )


def training_key(
    split: SplitRef,
    trainer: str,
    task: str,
    target: str,
    names: Sequence[str],
    parameters: BaseModel,
    code_version: str,
    classes: Sequence[str] = (),
) -> str:
    """Hash of everything that decides the bytes of a model, so that equal trainings are found again.

    ``code_version`` identifies the code that trains; that of the features is part of the manifest, by content.
    """
    return sha256_bytes(
        canonical_json(
            {
                "manifest": split.sha256,
                "task": task,
                "target": target,
                "features": list(names),
                "parameters": plain(parameters),
                "code_version": code_version,
                **({"classes": list(classes)} if classes else {}),
                **({"trainer": trainer} if trainer != FIRST_TRAINER else {}),
            }
        )
    )
