"""Verified copies on this machine of what was read from a lakeFS server."""

import hashlib
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ml_platform.datasets.lakefs.transfer import Transfer
from ml_platform.foundation.errors import Corrupt
from ml_platform.foundation.files import replacing


class ContentCache:
    """Verified copies of objects on this machine, found by sha256. Any number of processes may share one."""

    #: A copy that was used this recently is never removed, since someone may be about to open it.
    RECENT_SECONDS = 3600

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root = root
        self._limit = limit_bytes

    def path(self, sha256: str) -> Path:
        """Where the copy lies, or would lie."""
        return self.root / sha256[:2] / sha256[2:]

    def open(self, sha256: str) -> BinaryIO | None:
        """The copy, after all of it was checked; a damaged one is removed and ``None`` given."""
        file = self.path(sha256)
        try:
            stream = file.open("rb")
        except FileNotFoundError:
            return None
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
            stream.close()
            file.unlink(missing_ok=True)
            return None
        with suppress(FileNotFoundError):
            file.touch()
        stream.seek(0)
        return stream

    def fill(self, sha256: str, transfer: Transfer, ref: str, path: str, size: int, what: str) -> None:
        """Download an object; ``what`` names it in the error. Raises Corrupt, and keeps nothing, for wrong bytes."""
        with replacing(self.path(sha256)) as temporary:
            with temporary.open("wb") as target:
                actual = transfer.download(ref, path, size, target)
            if actual != sha256:
                raise Corrupt(
                    f"{what}: the server gave bytes with sha256 {actual}, recorded is {sha256}; "
                    "put the object again or restore it in the object store"
                )
            temporary.chmod(0o444)
        self._shrink()

    def remove_unused(self, seconds: float) -> int:
        """Remove copies that nobody asked for within this time; returns how many. They are fetched again if needed."""
        limit, removed = time.time() - seconds, 0
        for file in self.root.glob("??/*"):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime <= limit:
                    file.unlink()
                    removed += 1
        return removed

    def _shrink(self) -> None:
        """Remove the copies that were not used for longest, until the rest fits the limit."""
        copies = []
        for file in self.root.glob("??/*"):
            with suppress(FileNotFoundError):
                state = file.stat()
                copies.append((state.st_mtime, state.st_size, file))
        total = sum(size for _, size, _ in copies)
        for used, size, file in sorted(copies):
            if total <= self._limit or used > time.time() - self.RECENT_SECONDS:
                return
            file.unlink(missing_ok=True)
            total -= size
