"""Bytes to and from a lakeFS server, in pieces: memory does not grow with the size of an object.

An object is uploaded in one request through the server, or, where it is large and the server offers
it, in parts that go straight to the object store by presigned addresses. What was stored is read back
and compared. The same content is always cut in the same way, so that it gets the same checksum.
"""

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from ml_platform.datasets.embedded.pointers import digests
from ml_platform.datasets.lakefs.api import Connection, Declined
from ml_platform.datasets.store import NotFound, ObjectInfo
from ml_platform.foundation.errors import Corrupt, StoreError
from ml_platform.foundation.files import CHUNK

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

#: Keys in the metadata of an object: our identity of its content, what the caller attached to it, and its path.
#: A merge of the server (1.84) takes an object for unchanged where the next object of the base, whatever its path,
#: has the same size, checksum and metadata, and so loses one side in silence. With the path in the metadata no two
#: paths are alike, and the server, which merges onto the head that it holds the branch at, finds every conflict.
SHA256, LABELS, PATH = "sha256", "labels", "path"
CONTENT_TYPE = "application/octet-stream"
#: A transfer slower than this, in bytes per second, is broken off and continued by a new request.
SLOWEST = 64 << 10
#: Parts that are sent at the same time.
PARALLEL_PARTS = 4
_FORBIDDEN, _PARTIAL = 403, 206
#: How often a new address is asked for a part: one that waited long may expire again.
_EXPIRIES = 3


def object_info(path: str, size: int, metadata: Mapping[str, str] | None) -> ObjectInfo:
    """What the server holds in an object's metadata; ``sha256`` is empty where another tool wrote the object."""
    held = metadata or {}
    try:
        labels = json.loads(held.get(LABELS, "{}"))
    except ValueError:
        labels = {}
    return ObjectInfo(path, held.get(SHA256, ""), size, labels if isinstance(labels, dict) else {})


class _Section(io.RawIOBase):
    """A part of a file as a stream of its own, which hashes what it gives away."""

    def __init__(self, local: Path, offset: int, size: int) -> None:
        self._file = local.open("rb")
        self._file.seek(offset)
        self._left = size
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        self.sha256.update(piece)
        return piece

    def close(self) -> None:
        self._file.close()
        super().close()


class Transfer:
    """Uploads to and downloads from one repository."""

    def __init__(self, api: Connection, repository: str, *, part_bytes: int, read_back: bool) -> None:
        self._api = api
        self._repository = repository
        self._part_bytes = part_bytes
        self._read_back = read_back

    @cached_property
    def _storage(self) -> Any:
        return self._api.call("the server's configuration", self._api.sdk.config_api.get_config).storage_config

    # -- upload --------------------------------------------------------------------------------------

    def upload(self, branch: str, path: str, local: Path, labels: Mapping[str, str]) -> ObjectInfo:
        """Put the bytes of a file on a branch and verify what was stored; returns what is there now.

        Raises Corrupt where the stored bytes are not those of the file even at the second attempt, and
        StoreError where the file changes meanwhile.
        """
        with local.open("rb") as stream:
            md5, sha256, size = digests(stream)
        metadata = {SHA256: sha256, LABELS: json.dumps(dict(labels), sort_keys=True), PATH: quote(path)}
        for last in (False, True):
            if size > self._part_bytes and getattr(self._storage, "pre_sign_multipart_upload", False):
                checksum = self._upload_parts(branch, path, local, size, metadata)
            else:
                checksum = self._upload_whole(branch, path, local, size, metadata)
            # A checksum of 32 digits is the md5 of what arrived; others depend on the store behind the server.
            stored = f"md5 {checksum}" if checksum != md5 else ""
            if self._read_back or len(checksum) != len(md5):
                actual = self.download(branch, path, size)
                stored = f"sha256 {actual}" if actual != sha256 else ""
            if not stored:
                return ObjectInfo(path, sha256, size, dict(labels))
            self.unstage(branch, path)
            if last:
                break
        raise Corrupt(f"{path} on branch {branch!r}: the server stored bytes with {stored}, sent was sha256 {sha256}")

    def unstage(self, branch: str, path: str) -> None:
        """Reset what is staged at a path of a branch; where nothing is, that is no error."""
        from lakefs_sdk.models.reset_creation import ResetCreation

        undo = ResetCreation(type="object", path=path)
        self._api.call(f"branch {branch!r}", self._api.sdk.branches_api.reset_branch, self._repository, branch, undo)

    def _held(self, branch: str, path: str, size: int, metadata: Mapping[str, str]) -> str | None:
        """Checksum of the object where an earlier attempt brought it, else ``None``."""
        with suppress(NotFound):
            found = self._api.call(
                f"object {path!r}", self._api.sdk.objects_api.stat_object, self._repository, branch, path
            )
            if found.size_bytes == size and dict(found.metadata or {}) == metadata:
                return str(found.checksum)
        return None

    def _upload_whole(self, branch: str, path: str, local: Path, size: int, metadata: Mapping[str, str]) -> str:
        url = self._api.url("repositories", self._repository, "branches", branch, "objects", path=path)
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(size), **self._api.authorization()}
        headers |= {f"x-lakefs-meta-{key}": value for key, value in metadata.items()}

        def send(_request_timeout: tuple[float, float]) -> str:
            with _Section(local, 0, size) as body:
                answer = self._send("POST", url, headers, _request_timeout, body, size)
                if body.sha256.hexdigest() != metadata[SHA256]:
                    self.unstage(branch, path)
                    raise StoreError(f"{local} changed while it was put as {path!r}; put it again when it is complete")
                return str(json.loads(answer.data)["checksum"])

        what = f"object {path!r} on branch {branch!r}"
        return self._api.call(what, send, happened=lambda: self._held(branch, path, size, metadata))

    def _send(
        self, method: str, url: str, headers: dict[str, str], timeout: tuple[float, float], body: _Section, size: int
    ) -> "BaseHTTPResponse":
        # The server answers when all bytes are stored, so a large body needs more patience than a question.
        patience = (timeout[0], timeout[1] + size / SLOWEST / 16)
        with self._api.exchange(method, url, headers=headers, timeout=patience, body=body) as answer:
            _ = answer.data
            return answer

    def _upload_parts(self, branch: str, path: str, local: Path, size: int, metadata: Mapping[str, str]) -> str:
        from lakefs_sdk.models.abort_presign_multipart_upload import AbortPresignMultipartUpload
        from lakefs_sdk.models.complete_presign_multipart_upload import CompletePresignMultipartUpload
        from lakefs_sdk.models.upload_part import UploadPart

        what = f"object {path!r} on branch {branch!r}"
        parts = self._api.sdk.experimental_api
        offsets = range(0, size, self._part_bytes)
        begun = self._api.call(
            what, parts.create_presign_multipart_upload, self._repository, branch, path, parts=len(offsets)
        )
        target = (self._repository, branch, begun.upload_id, path)
        try:
            with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
                urls = begun.presigned_urls or [""] * len(offsets)
                tags = list(
                    pool.map(
                        lambda number, url, offset: self._send_part(
                            target, begun.physical_address, number, url, local, offset, size
                        ),
                        count(1),
                        urls,
                        offsets,
                    )
                )
            complete = CompletePresignMultipartUpload(
                physical_address=begun.physical_address,
                parts=[UploadPart(part_number=number, etag=tag) for number, tag in enumerate(tags, 1)],
                user_metadata=dict(metadata),
                content_type=CONTENT_TYPE,
            )

            def finish(_request_timeout: tuple[float, float]) -> str:
                done = parts.complete_presign_multipart_upload(
                    *target, complete_presign_multipart_upload=complete, _request_timeout=_request_timeout
                )
                return str(done.checksum)

            return self._api.call(
                what,
                finish,
                happened=lambda: self._held(branch, path, size, metadata),
                timeout_seconds=self._api.server.timeout_seconds + size / SLOWEST / 16,
            )
        except BaseException:
            # Parts that were sent cost space until the upload is given up; the first error is the one to tell.
            with suppress(StoreError):
                gone = AbortPresignMultipartUpload(physical_address=begun.physical_address)
                self._api.call(
                    what, parts.abort_presign_multipart_upload, *target, abort_presign_multipart_upload=gone, attempts=1
                )
            raise

    def _send_part(
        self,
        target: tuple[str, str, str, str],
        address: str,
        number: int,
        url: str,
        local: Path,
        offset: int,
        size: int,
    ) -> str:
        """Send one part; returns the store's tag of it. An address that has expired is asked for anew."""
        from lakefs_sdk.models.upload_part_from import UploadPartFrom

        length = min(self._part_bytes, size - offset)
        what = f"part {number} of object {target[3]!r} on branch {target[1]!r}"

        def fresh() -> str:
            ask = self._api.sdk.experimental_api.upload_part
            return self._api.call(what, ask, *target, number, UploadPartFrom(physical_address=address)).presigned_url

        def send(_request_timeout: tuple[float, float]) -> str:
            headers = {"Content-Length": str(length)}
            with _Section(local, offset, length) as body:
                answer = self._send("PUT", url, headers, _request_timeout, body, length)
                tag = str(answer.headers.get("ETag", "")).strip('"')
                if not tag:
                    raise StoreError(f"{what}: the object store gave no ETag, so the upload cannot be completed")
                return tag

        url = url or fresh()
        for _ in range(_EXPIRIES):
            try:
                return self._api.call(what, send)
            except Declined as error:
                if error.status != _FORBIDDEN:
                    raise
            url = fresh()
        return self._api.call(what, send)

    # -- download ------------------------------------------------------------------------------------

    def download(self, ref: str, path: str, size: int, target: BinaryIO | None = None) -> str:
        """Read all bytes of an object, into ``target`` where one is given; returns their sha256.

        A request that breaks off or is too slow is continued by another one from where it ended.
        """
        digest, offset = hashlib.sha256(), 0

        def receive(_request_timeout: tuple[float, float]) -> str:
            nonlocal digest, offset
            if offset and offset >= size:
                return digest.hexdigest()
            url, headers = self._source(ref, path)
            if offset:
                headers["Range"] = f"bytes={offset}-"
            with self._api.exchange("GET", url, headers=headers, timeout=_request_timeout) as answer:
                if offset and answer.status != _PARTIAL:
                    digest, offset = hashlib.sha256(), 0
                    if target:
                        target.seek(0)
                        target.truncate()
                for piece in _pieces(answer, _request_timeout[1] + (size - offset) / SLOWEST):
                    if target:
                        target.write(piece)
                    digest.update(piece)
                    offset += len(piece)
            return digest.hexdigest()

        return self._api.call(f"object {path!r} at {ref!r}", receive)

    def _source(self, ref: str, path: str) -> tuple[str, dict[str, str]]:
        """Address and headers to read an object with: straight from the object store where that is offered."""
        if getattr(self._storage, "pre_sign_support", False):
            stat = self._api.sdk.objects_api.stat_object
            found = self._api.call(f"object {path!r} at {ref!r}", stat, self._repository, ref, path, presign=True)
            return found.physical_address, {}
        url = self._api.url("repositories", self._repository, "refs", ref, "objects", path=path)
        return url, self._api.authorization()


def _pieces(answer: "BaseHTTPResponse", seconds: float) -> Iterator[bytes]:
    """The body as it arrives, each piece as soon as it is there. Raises ReadTimeoutError after ``seconds``."""
    import urllib3

    deadline = time.monotonic() + seconds
    while piece := answer.read1(CHUNK, decode_content=False):
        yield piece
        if time.monotonic() > deadline:
            raise urllib3.exceptions.TimeoutError(f"the body took longer than {seconds:.0f} s")
