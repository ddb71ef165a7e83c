"""Small helpers for files that must never be seen half written."""

import hashlib
import json
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ml_platform.foundation.errors import PlatformError

CHUNK = 1 << 20


class NotMade(PlatformError, OSError):
    """A folder that cannot be made."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"{folder}: the folder cannot be made ({reason}); see that this user may write there, or name another "
            "(ML_PLATFORM_LOCAL: everything that a run writes)"
        )
        self.strerror = reason


def made(folder: Path) -> Path:
    """The folder, made where it was not there. Raises NotMade, which is told in one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotMade(folder, error.strerror or str(error)) from error
    return folder


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Generator[Path]:
    """Yield a temporary path beside ``path``; when the block succeeds it is synced and renamed onto it.

    A crash at any moment leaves the old file or the new one, never a part of either. Who may read it is for the umask
    to say, as with every other file; ``private``: this user alone, since it holds what people sent.
    """
    made(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    # Not by tempfile: its files are private whatever the umask, and stay so under their new name.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Write ``content`` to ``path`` by temporary file, fsync and rename; returns ``path``."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def canonical_json(value: Any) -> str:
    """JSON that is byte-equal for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)


def sha256_bytes(content: bytes | str) -> str:
    """Hexadecimal sha256 of bytes, or of text in UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def below_local(stored: str) -> str:
    """A stored path as one relative to the folder of everything that runs write, which may be moved or copied.

    Earlier releases stored absolute paths, of a folder or file two levels deep there (``bentos/…``, ``reports/…``).
    """
    path = PurePosixPath(stored)
    return str(PurePosixPath(*path.parts[-2:])) if path.is_absolute() else stored


def sha256_folder(folder: Path) -> str:
    """Hexadecimal sha256 over the relative names and contents of every file below ``folder``."""
    entries = {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sha256_bytes(canonical_json(entries))
