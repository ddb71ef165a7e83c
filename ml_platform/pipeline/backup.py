"""Backups of everything that runs write, at one moment, while they go on; and the way back, at any path.

What is copied is what there would be if every process had been killed at that moment, which each of them stands: for a
fraction of a second nobody may write to ledger, MLflow, store and rollout records. Files that never change are copied
before. Format 1: a folder with ``manifest.json`` and, below ``local/``, the files by their paths below ``.local``.
"""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ml_platform.foundation.adapters import held
from ml_platform.foundation.database import is_sqlite
from ml_platform.foundation.errors import Corrupt, PlatformError
from ml_platform.foundation.files import canonical_json, made, sha256_file, sync_folder, write_atomic
from ml_platform.foundation.settings import Settings

FORMAT = 1
MANIFEST, CONTENT = "manifest.json", "local"
#: What runs make again, or what is true of one machine only: paths below ``.local``.
LEFT_OUT = (
    "check", "environments", "lakefs-cache", "mlflow/artifacts/.cache", "mlflow/artifacts/.locks", "rollout/direct",
    "rollout/envoy", "rollout/logs", "rollout/processes", "rollout/state.json", "ui",
)  # fmt: skip
_SQLITE = b"SQLite format 3\0"
#: Seconds that a backup waits for a writer, and every writer for the backup.
_PATIENCE = 60.0


class Backup(NamedTuple):
    """What a backup holds, or what was restored from it."""

    folder: Path
    #: The moment, ISO time in UTC.
    at: str
    files: int
    bytes: int
    #: How long nobody could write.
    held_seconds: float
    #: What the settings keep elsewhere, and so is not part of it.
    elsewhere: tuple[str, ...]


def elsewhere(settings: Settings) -> tuple[str, ...]:
    """What these settings keep outside ``.local``: it has backups of its own."""
    from ml_platform.datasets.factory import kind_of_store

    local = settings.local.resolve()
    found = {
        "the dataset store (lakeFS)": kind_of_store(settings) == "lakefs",
        "ledger and references (ML_PLATFORM_LEDGER_URL)": not _within(settings.ledger, local),
        "MLflow (ML_PLATFORM_MLFLOW_TRACKING_URI)": not _within(settings.mlflow_uri, local),
        "Dagster's history (ML_PLATFORM_DAGSTER_POSTGRES_URL)": bool(settings.dagster_postgres_url.get_secret_value()),
        "the project's own stores (ML_PLATFORM_ADAPTERS)": bool(settings.adapters),
        "the prediction log (ML_PLATFORM_PREDICTION_LOG)": bool(settings.prediction_log),
    }
    return tuple(name for name, away in found.items() if away)


def _within(uri: str, local: Path) -> bool:
    file = uri.partition(":///")[2]
    return uri.startswith("sqlite") and bool(file) and Path(file).resolve().is_relative_to(local)


def back_up(settings: Settings, folder: Path) -> Backup:
    """Copy everything below ``.local`` to a new ``folder``, as it is at one moment; whatever runs goes on.

    A killed backup leaves ``<folder>.partial`` only. Raises PlatformError where the folder exists, lies in ``.local``,
    or a writer does not let go for a minute.
    """
    local, folder = settings.local.resolve(), folder.resolve()
    if not local.is_dir():
        raise PlatformError(f"{local} does not exist: nothing was ever run here; set ML_PLATFORM_LOCAL to what was")
    if folder.exists():
        raise PlatformError(f"{folder} exists: a backup is a new folder; name another")
    if folder.is_relative_to(local):
        raise PlatformError(f"{folder} lies in {local}, which is what is backed up; name a folder elsewhere")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    target = made(partial / CONTENT)
    copied: dict[str, tuple[int, int, int]] = {}
    _copy(local, target, copied)
    # Dagster's databases, each by itself: they tell what ran, and no step reads them.
    databases = {name: _copied(local / name, target / name) for name in _databases(local)}
    with _held(settings):
        began = time.monotonic()
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        _copy(local, target, copied)
        for name in _databases(local):
            if name not in databases or local / name in _locked_databases(settings):
                databases[name] = _copied(local / name, target / name)
        seconds = time.monotonic() - began
    hashed = list(_hashed(target))
    files = {name: {"size": size, "sha256": sha256} for name, size, sha256 in hashed}
    _sync(partial)
    told = {"format": FORMAT, "at": at, "held_seconds": round(seconds, 3), "elsewhere": elsewhere(settings)}
    write_atomic(partial / MANIFEST, canonical_json({**told, "files": files}))
    partial.rename(folder)
    sync_folder(folder.parent)
    return Backup(folder, at, len(files), sum(size for _, size, _ in hashed), seconds, elsewhere(settings))


def restore(settings: Settings, folder: Path) -> Backup:
    """Put a backup at ``.local``, which must not be there, after comparing every file with its sha256.

    A killed restore leaves ``.local`` missing. Raises PlatformError where there is anything already or the folder is no
    backup, Corrupt where a file is missing or damaged.
    """
    local, folder = settings.local.resolve(), folder.resolve()
    manifest = _manifest(folder)
    if local.exists() and any(local.iterdir()):
        raise PlatformError(
            f"{local} is not empty; stop what runs, move it away (mv {local} {local}.before) and restore again"
        )
    partial = local.with_name(f"{local.name}.restoring")
    shutil.rmtree(partial, ignore_errors=True)
    made(partial)
    for name, expected in manifest["files"].items():
        source, target = folder / CONTENT / name, partial / name
        made(target.parent)
        try:
            shutil.copy2(source, target)
        except FileNotFoundError:
            raise Corrupt(f"{source} is missing in the backup; take another backup") from None
        if sha256_file(target) != expected["sha256"]:
            raise Corrupt(f"{source} is not what was backed up (sha256 differs); take another backup")
    _sync(partial)
    if local.exists():
        local.rmdir()
    partial.rename(local)
    sync_folder(local.parent)
    sizes = [one["size"] for one in manifest["files"].values()]
    return Backup(local, manifest["at"], len(sizes), sum(sizes), 0.0, tuple(manifest["elsewhere"]))


def _manifest(folder: Path) -> Mapping[str, Any]:
    try:
        value = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise PlatformError(f"{folder} is no backup (it has no {MANIFEST}); name a folder that backup made") from None
    except ValueError as error:
        raise Corrupt(f"{folder / MANIFEST} is damaged ({error}); take another backup") from error
    if value.get("format") != FORMAT:
        raise PlatformError(
            f"{folder}: a backup in format {value.get('format')}, this release reads {FORMAT}; install that release"
        )
    for name in value["files"]:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise PlatformError(f"{folder / MANIFEST} names {name}, which is not below .local; it is not from backup")
    return value


@contextmanager
def _held(settings: Settings) -> Generator[None]:
    """Nobody writes to store, rollout records, ledger and MLflow below ``.local`` until the block ends."""
    from ml_platform.datasets.factory import store_on_disk
    from ml_platform.references.factory import open_references
    from ml_platform.rollout.factory import open_records

    with ExitStack() as stack:
        for keeper in (store_on_disk(settings), open_references(settings), open_records(settings)):
            stack.enter_context(held(keeper))
        for database in _locked_databases(settings):
            connection = stack.enter_context(closing(sqlite3.connect(database, _PATIENCE, isolation_level=None)))
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise PlatformError(f"{database}: a writer holds it ({error}); back up again") from error
        yield


def _locked_databases(settings: Settings) -> list[Path]:
    """Ledger, then MLflow, as far as they are files below ``.local``."""
    local = settings.local.resolve()
    found = [uri for uri in (settings.ledger, settings.mlflow_uri) if _within(uri, local) and is_sqlite(uri)]
    return [file for uri in found if (file := Path(uri.partition(":///")[2]).resolve()).is_file()]


def _files(local: Path) -> Iterator[tuple[str, Path]]:
    """Every file to back up with its path below ``local``; the databases and what belongs to them are none."""
    for root, folders, names in os.walk(local):
        below = Path(root).relative_to(local)
        folders[:] = sorted(name for name in folders if not _left_out(below / name))
        for name in sorted(names):
            if not _left_out(below / name):
                yield str(below / name), Path(root) / name


def _left_out(path: Path) -> bool:
    # What is not whole yet lies beside its place, under a name with a dot.
    unfinished = path.name.startswith((".building-", ".keeping-")) or path.match(".*.tmp")
    return str(path) in LEFT_OUT or unfinished or path.name.endswith((".lock", "-wal", "-shm", "-journal"))


def _copy(local: Path, target: Path, copied: dict[str, tuple[int, int, int]]) -> None:
    """Copy what is new or another file since it was ``copied``, and remove from the copy what is gone."""
    found = set()
    for name, file in _files(local):
        try:
            stat = file.stat()
            seen = stat.st_ino, stat.st_mtime_ns, stat.st_size
            if _is_database(file):
                continue
            if copied.get(name) != seen:
                made((target / name).parent)
                (target / name).unlink(missing_ok=True)  # it may be read-only
                shutil.copy2(file, target / name)
        except FileNotFoundError:
            continue  # replaced or collected meanwhile
        copied[name] = seen
        found.add(name)
    for name in copied.keys() - found:
        (target / name).unlink(missing_ok=True)
        del copied[name]


def _databases(local: Path) -> list[str]:
    return [name for name, file in _files(local) if _is_database(file)]


def _is_database(file: Path) -> bool:
    if file.suffix != ".db":
        return False
    with file.open("rb") as stream:
        return stream.read(16) == _SQLITE


def _copied(database: Path, target: Path) -> bool:
    """A copy of a SQLite database as it was last committed."""
    made(target.parent)
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(database, _PATIENCE)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return True


def _hashed(target: Path) -> Iterator[tuple[str, int, str]]:
    for file in sorted(path for path in target.rglob("*") if path.is_file()):
        yield str(file.relative_to(target)), file.stat().st_size, sha256_file(file)


def _sync(folder: Path) -> None:
    """Make every file and name below a folder durable."""
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(root))
