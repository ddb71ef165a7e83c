"""Snapshots of histories: what a service knows of the past, kept by content beside the packages.

The history in a package is that of the day of packaging. A newer one is a file here; a process reads one of them from
start to end, and a newer one starts a new process.
"""

import json
import os
import tempfile
import time
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from ml_platform.features.history import History, saved
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, replacing, sha256_bytes, sha256_file, sync_folder, write_atomic
from ml_platform.foundation.variables import SNAPSHOT
from ml_platform.serving.bundle import HISTORY, ServiceConfig

#: Folder of snapshots, below the folder of a run's outputs.
FOLDER = "histories"
#: File beside a history that says what it was made from, and the number of its form.
ABOUT, FORMAT = "about.json", 1


class Snapshot(NamedTuple):
    """The history that a process reads."""

    file: Path
    sha256: str
    #: Last day whose outcomes it knows; None where it knows none.
    until: date | None


def path(local: Path, sha256: str) -> Path:
    """Where the snapshot of this content is kept."""
    return local / FOLDER / sha256 / HISTORY


class Kept(NamedTuple):
    """A history that is kept."""

    sha256: str
    #: sha256 of what was written now of what it was made from; None where that stood there before.
    about: str | None


def keep(local: Path, history: History, code: str, about: Mapping[str, Any]) -> Kept:
    """Keep a history that the feature code of a version made; equal ones are kept once.

    ``about`` is what it was made from (:func:`about` reads it). A killed process leaves all of it or nothing.
    """
    written: str | None = None
    folder = local / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".keeping-", dir=folder) as temporary:
        file = history.save(Path(temporary) / HISTORY, code)
        sha256 = sha256_file(file)
        target = path(local, sha256)
        if not target.is_file() or sha256_file(target) != sha256:
            with replacing(target) as place:
                file.rename(place)
        os.utime(target)  # not to be forgotten before a record names it
        if not (beside := target.with_name(ABOUT)).is_file():
            known = {"until": history.until, "lag_days": history.lag_days, "code": code}
            content = canonical_json({"format": FORMAT, **known, **about})
            write_atomic(beside, content)
            written = sha256_bytes(content)
        sync_folder(folder)
    return Kept(sha256, written)


class About(NamedTuple):
    """What a history was made from, as its file says, and that file's content hash."""

    said: dict[str, Any]
    sha256: str


def about(local: Path, sha256: str) -> About | None:
    """What a history was made from, also once its file was forgotten; None where it was never kept here.

    Raises PlatformError for a damaged file.
    """
    file = path(local, sha256).with_name(ABOUT)
    try:
        content = file.read_bytes()
        return About(json.loads(content), sha256_bytes(content))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PlatformError(f"{file} is damaged ({error}); what the history was made from is not known") from error


def forget(local: Path, named: Collection[str], age_seconds: float = 86400) -> None:
    """Delete the files of histories of this age that are not ``named``; what they were made from stays."""
    for file in (local / FOLDER).glob(f"*/{HISTORY}"):
        if file.parent.name not in named and time.time() - file.stat().st_mtime > age_seconds:
            file.unlink(missing_ok=True)


def of_process(config: ServiceConfig, packaged: Path) -> Snapshot:
    """The history of this process: the one that its environment names, else the ``packaged`` one.

    Raises PlatformError where a file is not what it was, or was made by other feature code than the package has.
    """
    named = os.environ.get(SNAPSHOT)
    file, wanted = (Path(named), Path(named).parent.name) if named else (packaged, config.history_sha256)
    if not file.is_file():
        raise PlatformError(f"history {file} does not exist; make it again with ml-platform refresh")
    if sha256_file(file) != wanted:
        raise PlatformError(f"{file} is not the history that it was (sha256 differs); package or refresh it again")
    about = saved(file)
    if config.feature_code and about.get("code", config.feature_code) != config.feature_code:
        raise PlatformError(
            f"{file} was made by feature code {about['code']}, version {config.version} of {config.model} has "
            f"{config.feature_code}; package the version again"
        )
    until = about.get("until")
    return Snapshot(file, wanted, date.fromisoformat(until) if until else None)
