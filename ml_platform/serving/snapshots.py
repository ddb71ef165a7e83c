"""Snapshots of histories: what a service knows of the past, kept by content beside the packages.

The history in a package is that of the day of packaging. A newer one is a file here; a process reads one of them from
start to end, and a newer one starts a new process.
"""

import tempfile
from pathlib import Path

from ml_platform.features.history import History
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import replacing, sha256_file
from ml_platform.serving.bundle import HISTORY

#: Folder of snapshots, below the folder of a run's outputs.
FOLDER = "histories"


def path(local: Path, sha256: str) -> Path:
    """Where the snapshot of this content is kept."""
    return local / FOLDER / sha256 / HISTORY


def keep(local: Path, history: History) -> str:
    """Keep a history and return its sha256; equal ones are kept once. A killed process leaves none or all of it."""
    folder = local / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".keeping-", dir=folder) as temporary:
        file = history.save(Path(temporary) / HISTORY)
        sha256 = sha256_file(file)
        target = path(local, sha256)
        if not target.is_file() or sha256_file(target) != sha256:
            with replacing(target) as place:
                file.rename(place)
    return sha256


def verified(file: Path) -> str:
    """The sha256 of a snapshot's file. Raises PlatformError where it is not what its folder is named after."""
    if not file.is_file():
        raise PlatformError(f"history {file} does not exist; make it again with ml-platform history refresh")
    sha256 = sha256_file(file)
    if sha256 != file.parent.name:
        raise PlatformError(f"{file} is not the history of its folder's name (sha256 differs); delete the folder")
    return sha256
