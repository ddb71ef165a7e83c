"""Builds of a service that are broken on purpose: the same model and history, by an entry module with faults."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.files import canonical_json, write_atomic
from ml_platform.foundation.provenance import Provenance
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.proving import faults
from ml_platform.serving import bundle

if TYPE_CHECKING:
    from ml_platform.rollout.record import Backend


def built(live: "Backend", local: Path, version: int) -> Path:
    """The package of what answers, by the faulty entry module, with no fault yet; both are below ``local``."""
    from ml_platform.serving import packaging

    files = local / live.path / bundle.SOURCE / bundle.FOLDER
    config, request = bundle.read(files)
    return packaging.package(
        config.model,
        version,
        files / config.file,
        config.model_sha256,
        files / bundle.HISTORY,
        config.function,
        request,
        task=config.task,
        provenance=Provenance.model_validate(config.provenance),
        destination=local / BENTOS,
        decision_threshold=config.decision_threshold,
        classes=config.classes,
        format=config.format,
        types=config.types,
        example=config.example,
        entry=f"{faults.__name__}.answering",
        feature_code=config.feature_code,
        stale=config.stale,
        known=config.known,
    ).path


def copied(sound: Path, name: str) -> Path:
    """A copy beside a package, whose files may be replaced."""
    return shutil.copytree(sound, sound.parent / re.sub(r"\W+", "_", name), copy_function=os.link)


def with_fault(place: Path, options: Mapping[str, Any], **changed: Any) -> str:
    """Give a package a fault, see :mod:`ml_platform.proving.faults.answering`; the hash of its content then.

    ``changed``: what else its configuration says otherwise.
    """
    files = place / bundle.SOURCE / bundle.FOLDER
    config, _ = bundle.read(files)
    config = config.model_copy(update={**changed, "options": dict(options)})
    write_atomic(files / bundle.SERVICE, canonical_json(config.model_dump(mode="json")))
    return bundle.content_sha256(place / bundle.SOURCE)
