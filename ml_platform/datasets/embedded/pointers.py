"""Pointers and content files in the layout of DVC, so that an unmodified ``dvc`` reads the store.

A pointer is the small YAML file ``<path>.dvc`` in a Git tree; the bytes lie in
``<cas>/files/md5/ab/cdef…`` as read-only files that are never changed. DVC finds bytes by md5; the
identity that we check is the sha256 under ``meta``.
"""

import hashlib
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ml_platform.datasets.store import InvalidName
from ml_platform.foundation.errors import Corrupt
from ml_platform.foundation.files import made, sync_folder

SUFFIX = ".dvc"
CONFIG = ".dvc/config"
#: A block fits the cache of a core while two hashes and the copy look at it; this many may wait for the slower hash.
_BLOCK, _BLOCKS = 1 << 18, 16
#: Blocks between two syncs of a copy that is still being written.
_SYNC_EVERY = 128
#: A pointer as :func:`encode` writes it where nothing in it needs an escape. What is otherwise is left to YAML.
_PLAIN = re.compile(
    rb'outs:\n- md5: "(?P<md5>[0-9a-f]{32})"\n  size: (?P<size>0|[1-9][0-9]{0,17})\n  hash: md5\n'
    rb'  path: "[ !#-\[\]-~]*"\n  meta:\n    sha256: "(?P<sha256>[0-9a-f]{64})"\n'
    rb'    metadata:(?P<metadata> \{\}\n|\n(?:      "[ !#-\[\]-~]*": "[ !#-\[\]-~]*"\n)+)'
)
_PAIR = re.compile(r'      "([^"]*)": "([^"]*)"\n')
_PART = re.compile(r"(?!\.)(?!git~\d)[^\x00-\x1f\x7f-\x9f\\/]{1,200}", re.IGNORECASE)


@dataclass(frozen=True)
class Pointer:
    """What a ``.dvc`` file says about one object."""

    md5: str
    sha256: str
    #: Bytes.
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)


class _Quoted(str):
    """Text that is always written in quotes: ``12e45`` is a number to the YAML 1.2 reader of DVC."""

    __slots__ = ()


@lru_cache(maxsize=1)
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(
        _Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
    )
    return Dumper


def encode(path: str, pointer: Pointer) -> bytes:
    """The content of ``<path>.dvc``; byte-equal for equal arguments."""
    import yaml

    document = {
        "outs": [
            {
                "md5": _Quoted(pointer.md5),
                "size": pointer.size,
                "hash": "md5",
                "path": _Quoted(PurePosixPath(path).name),
                "meta": {
                    "sha256": _Quoted(pointer.sha256),
                    "metadata": {_Quoted(k): _Quoted(v) for k, v in sorted(pointer.metadata.items())},
                },
            }
        ]
    }
    text = yaml.dump(document, Dumper=_dumper(), sort_keys=False, width=1 << 20, allow_unicode=True)
    return text.encode()


def decode(content: bytes) -> Pointer:
    """Read a ``.dvc`` file. Raises ValueError where it is not one that :func:`encode` wrote."""
    # Each listing reads the pointer of every object: YAML takes thirty times as long, and says the same.
    if plain := _PLAIN.fullmatch(content):
        md5, size, sha256, metadata = (plain[name].decode() for name in ("md5", "size", "sha256", "metadata"))
        return Pointer(md5, sha256, int(size), dict(_PAIR.findall(metadata)))
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        out = yaml.load(content, Loader=loader)["outs"][0]
        meta = out["meta"]
        return Pointer(str(out["md5"]), str(meta["sha256"]), int(out["size"]), dict(meta["metadata"]))
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"not a pointer with a sha256: {error}") from None


def remote_config(cas: Path) -> bytes:
    """``.dvc/config`` that names the content files as the remote."""
    core = "[core]\n    remote = store\n    analytics = false\n"
    return f"{core}['remote \"store\"']\n    url = {cas}\n".encode()


def check_path(path: str) -> str:
    """``path`` itself where it can name an object. Raises InvalidName with the allowed form."""
    parts = path.split("/")
    try:
        path.encode()
    except UnicodeEncodeError:
        parts = []
    if not parts or not all(_PART.fullmatch(part) and not part.lower().endswith(SUFFIX) for part in parts):
        raise InvalidName(
            f"object path {path!r}: use names joined by '/', each of 1 to 200 characters, without control "
            f"characters or backslash, not starting with '.' and not ending in '{SUFFIX}'"
        )
    return path


def digests(stream: BinaryIO, copy_to: BinaryIO | None = None) -> tuple[str, str, int]:
    """md5, sha256 and size of a stream in one pass, which is copied on the way. Memory: some 4 MB.

    Each hash runs in a thread of its own beside reading and writing, a few blocks behind: md5 alone takes longer
    than the copy. Meanwhile the disk gets what is written, so that little is left for the sync at the end. What is
    hashed is what is written, also where the stream changes meanwhile.
    """
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    length, content = 0, memoryview(b"")
    blocks: list[bytearray] = []
    hashing: deque[tuple[Future[None], Future[None]]] = deque()
    syncing: Future[None] | None = None
    with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(1) as next_to_it, ThreadPoolExecutor(1) as behind:
        for number in count():
            if len(blocks) < _BLOCKS:
                blocks.append(bytearray(_BLOCK))
            else:
                _wait(hashing.popleft())
            block = blocks[number % _BLOCKS]
            if not (length := _fill(stream, block)):
                break
            content = memoryview(block)[:length]
            if copy_to:
                copy_to.write(content)
            size += length
            if length < _BLOCK:
                break
            if copy_to and number % _SYNC_EVERY == _SYNC_EVERY - 1 and (syncing is None or syncing.done()):
                if syncing:
                    syncing.result()  # the system reports an error of the disk once: to the sync that met it
                syncing = behind.submit(os.fdatasync, copy_to.fileno())
            hashing.append((beside.submit(md5.update, content), next_to_it.submit(sha256.update, content)))
        while hashing:
            _wait(hashing.popleft())
    if syncing:
        syncing.result()
    if length:
        # The last, short block, which is all of a small file: not worth a thread.
        md5.update(content)
        sha256.update(content)
    return md5.hexdigest(), sha256.hexdigest(), size


def _fill(stream: Any, block: bytearray) -> int:
    """Bytes read into a block; fewer than fit only at the end of the stream."""
    room, length = memoryview(block), 0
    while length < len(block) and (read := stream.readinto(room[length:])):
        length += read
    return length


def _wait(hashing: "tuple[Future[None], Future[None]]") -> None:
    for done in hashing:
        done.result()


class ContentFiles:
    """Content-addressed files below ``<root>/files/md5``, as a local remote of DVC has them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = root / "files" / "md5"
        self.temporary = root / "tmp"
        for folder in (self.objects, self.temporary):
            made(folder)

    def path(self, md5: str) -> Path:
        """Where the bytes with this md5 lie."""
        return self.objects / md5[:2] / md5[2:]

    def add(self, local: Path) -> Pointer:
        """Copy a file in; durable when it returns. A damaged file with the same md5 is replaced.

        Raises Corrupt where other content with the same md5 is held already (a forged collision).
        """
        handle, name = tempfile.mkstemp(dir=self.temporary)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as target, local.open("rb") as source:
                md5, sha256, size = digests(source, target)
                target.flush()
                os.fchmod(target.fileno(), 0o444)
                os.fsync(target.fileno())
            destination = self.path(md5)
            self._refuse_collision(destination, md5, sha256)
            if not destination.parent.exists():
                destination.parent.mkdir(exist_ok=True)
                sync_folder(self.objects)
            os.replace(temporary, destination)
            sync_folder(destination.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return Pointer(md5, sha256, size)

    def _refuse_collision(self, destination: Path, md5: str, sha256: str) -> None:
        with suppress(FileNotFoundError), destination.open("rb") as held:
            held_md5, held_sha256, _ = digests(held)
            if held_md5 == md5 and held_sha256 != sha256:
                raise Corrupt(f"content {sha256} has the md5 of other content, {held_sha256}: not stored")

    def open_verified(self, pointer: Pointer, what: str) -> BinaryIO:
        """Open the bytes after all of them were checked; ``what`` names the object in the error.

        The check and the reader share one file handle, so that nothing can come between them.
        Raises Corrupt.
        """
        file = self.path(pointer.md5)
        try:
            stream = file.open("rb")
        except FileNotFoundError:
            raise Corrupt(f"{what}: its bytes {file} are gone (lost or removed by gc)") from None
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != pointer.sha256:
            stream.close()
            raise Corrupt(
                f"{what}: bytes in {file} have sha256 {actual}, recorded is {pointer.sha256}; "
                "put the object again or restore the file from a copy"
            )
        stream.seek(0)
        return stream

    def remove_except(self, live: set[str], grace_seconds: float) -> int:
        """Remove files older than the grace whose md5 is not in ``live``, and left-over temporary files."""
        limit = time.time() - grace_seconds
        removed = 0
        for file in self._files():
            held = file.parent.name + file.name if file.parent != self.temporary else ""
            with suppress(FileNotFoundError):
                if held not in live and file.stat().st_mtime <= limit:
                    file.unlink()
                    removed += 1
        return removed

    def _files(self) -> Iterator[Path]:
        yield from self.objects.glob("??/*")
        yield from self.temporary.iterdir()
