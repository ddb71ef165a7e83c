"""The HTTP side of the stand-in: routes of lakeFS's API, an object store for presigned addresses, and faults."""

import base64
import hashlib
import json
import re
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ml_platform_tests.datasets.lakefs_standin.faults import Fault, Faults
from ml_platform_tests.datasets.lakefs_standin.repository import ApiError, Commit, Entry, Repository, difference

VERSION = "stand-in"
_META = "x-lakefs-meta-"
_Route = tuple[str, re.Pattern[str], Callable[..., Any]]
_ROUTES: list[_Route] = []


def route(method: str, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a method of :class:`StandIn` for a path with ``{names}``."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path))
        _ROUTES.append((method, pattern, function))
        return function

    return register


class Request:
    """What a route gets to see."""

    def __init__(self, handler: BaseHTTPRequestHandler, query: dict[str, list[str]], body: Path, rot: bool) -> None:
        self.headers, self.body, self.rot = handler.headers, body, rot
        self._query = query

    def query(self, name: str, default: str = "") -> str:
        return self._query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        # The client writes "True".
        return self.query(name).lower() == "true"

    def json(self) -> Any:
        return json.loads(self.body.read_bytes() or b"{}")


class Bytes:
    """An answer with the bytes of a file, from an offset on."""

    def __init__(self, file: Path, offset: int = 0) -> None:
        self.file, self.offset = file, offset


class StandIn:
    """The server. Use as a context manager; ``presign`` makes it offer presigned addresses."""

    access_key, secret_key = "AKIATEST", "not-a-secret"  # pragma: allowlist secret

    def __init__(self, *, presign: bool = False) -> None:
        self.presign = presign
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        #: ``METHOD path`` of every request, in order.
        self.requests: list[str] = []
        #: Parts of uploads that are neither completed nor aborted.
        self.uploads: dict[str, dict[int, tuple[Path, str]]] = {}
        self.lock = threading.RLock()
        self.folder = Path(tempfile.mkdtemp(prefix="lakefs-standin-"))
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"standin": self}))
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "StandIn":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def order(self, where: str, **fault: Any) -> Fault:
        """Order a fault for the requests whose ``METHOD path`` matches ``where``."""
        return self.faults.order(Fault(where, **fault))

    def repository(self, name: str) -> Repository:
        if name not in self.repositories:
            raise ApiError(404, "repository not found")
        return self.repositories[name]

    def authorized(self, header: str | None) -> bool:
        pair = base64.b64encode(f"{self.access_key}:{self.secret_key}".encode()).decode()
        return header == f"Basic {pair}"

    def keep(self, body: Path, rot: bool) -> Path:
        """Move a body into the object store."""
        kept = self.folder / uuid.uuid4().hex
        body.rename(kept)
        if rot:
            content = bytearray(kept.read_bytes())
            content[len(content) // 2] ^= 1
            kept.write_bytes(content)
        return kept

    # -- repositories --------------------------------------------------------------------------------

    @route("GET", "/config")
    def config(self, _: Request) -> Any:
        storage = {
            "blockstore_type": "s3" if self.presign else "local",
            "blockstore_namespace_example": "local://example/",
            "blockstore_namespace_ValidityRegex": "^local://",
            "pre_sign_support": self.presign,
            "pre_sign_support_ui": False,
            "pre_sign_multipart_upload": self.presign,
            "import_support": False,
            "import_validity_regex": "^local://",
        }
        return 200, {"version_config": {"version": VERSION}, "storage_config": storage}

    @route("POST", "/repositories")
    def create_repository(self, request: Request) -> Any:
        wanted = request.json()
        name, namespace = wanted["name"], wanted["storage_namespace"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,62}", name):
            raise ApiError(400, "repository id: invalid value: validation error")
        if not namespace.startswith("local://"):
            raise ApiError(400, "failed to create repository: invalid namespace")
        if name in self.repositories:
            raise ApiError(409, "error creating repository: not unique")
        self.repositories[name] = Repository(name, namespace, wanted.get("default_branch") or "main")
        return 201, self._repository(self.repositories[name])

    @staticmethod
    def _repository(found: Repository) -> dict:
        return {
            "id": found.name,
            "creation_date": 0,
            "default_branch": found.default_branch,
            "storage_namespace": found.namespace,
        }

    @route("GET", "/repositories/{repository}")
    def get_repository(self, _: Request, repository: str) -> Any:
        return 200, self._repository(self.repository(repository))

    @route("DELETE", "/repositories/{repository}")
    def delete_repository(self, _: Request, repository: str) -> Any:
        del self.repositories[self.repository(repository).name]
        return 204, None

    @route("GET", "/repositories/{repository}/settings/branch_protection")
    def get_protection(self, _: Request, repository: str) -> Any:
        return 200, [{"pattern": name} for name in self.repository(repository).protected]

    @route("PUT", "/repositories/{repository}/settings/branch_protection")
    def set_protection(self, request: Request, repository: str) -> Any:
        self.repository(repository).protected = [rule["pattern"] for rule in request.json()]
        return 204, None

    @route("GET", "/repositories/{repository}/settings/gc_rules")
    def get_gc(self, _: Request, repository: str) -> Any:
        rules = self.repository(repository).gc_rules
        if rules is None:
            raise ApiError(404, "not found")
        # As the server answers: an empty list is null.
        return 200, {**rules, "branches": rules["branches"] or None}

    @route("PUT", "/repositories/{repository}/settings/gc_rules")
    def set_gc(self, request: Request, repository: str) -> Any:
        self.repository(repository).gc_rules = request.json()
        return 204, None

    # -- references ----------------------------------------------------------------------------------

    @route("GET", "/repositories/{repository}/branches")
    def list_branches(self, request: Request, repository: str) -> Any:
        branches = self.repository(repository).branches
        return 200, _page(request, {name: {"id": name, "commit_id": b.commit} for name, b in branches.items()})

    @route("POST", "/repositories/{repository}/branches")
    def create_branch(self, request: Request, repository: str) -> Any:
        wanted = request.json()
        return 201, self.repository(repository).create_branch(wanted["name"], wanted["source"]).encode()

    @route("GET", "/repositories/{repository}/branches/{branch}")
    def get_branch(self, _: Request, repository: str, branch: str) -> Any:
        return 200, {"id": branch, "commit_id": self.repository(repository).branch(branch).commit}

    @route("DELETE", "/repositories/{repository}/branches/{branch}")
    def delete_branch(self, _: Request, repository: str, branch: str) -> Any:
        self.repository(repository).delete_branch(branch)
        return 204, None

    @route("PUT", "/repositories/{repository}/branches/{branch}")
    def reset_branch(self, request: Request, repository: str, branch: str) -> Any:
        wanted = request.json()
        self.repository(repository).reset(branch, wanted.get("path") if wanted["type"] == "object" else None)
        return 204, None

    @route("GET", "/repositories/{repository}/tags")
    def list_tags(self, request: Request, repository: str) -> Any:
        tags = self.repository(repository).tags
        return 200, _page(request, {name: {"id": name, "commit_id": commit} for name, commit in tags.items()})

    @route("POST", "/repositories/{repository}/tags")
    def create_tag(self, request: Request, repository: str) -> Any:
        wanted = request.json()
        commit = self.repository(repository).create_tag(wanted["id"], wanted["ref"])
        return 201, {"id": wanted["id"], "commit_id": commit}

    # -- commits -------------------------------------------------------------------------------------

    @route("GET", "/repositories/{repository}/commits/{ref}")
    def get_commit(self, _: Request, repository: str, ref: str) -> Any:
        return 200, _commit(self.repository(repository).commit_of(ref))

    @route("GET", "/repositories/{repository}/refs/{ref}/commits")
    def log(self, request: Request, repository: str, ref: str) -> Any:
        commits = self.repository(repository).log(ref, request.flag("first_parent"))
        return 200, _page(request, {commit.id: _commit(commit) for commit in commits}, ordered=True)

    @route("POST", "/repositories/{repository}/branches/{branch}/commits")
    def commit(self, request: Request, repository: str, branch: str) -> Any:
        wanted = request.json()
        made = self.repository(repository).commit(branch, wanted["message"], wanted.get("metadata") or {})
        return 201, _commit(made)

    @route("POST", "/repositories/{repository}/refs/{source}/merge/{dest}")
    def merge(self, request: Request, repository: str, source: str, dest: str) -> Any:
        wanted = request.json()
        made = self.repository(repository).merge(
            source, dest, wanted.get("message") or "", wanted.get("metadata") or {}, wanted.get("strategy") or ""
        )
        return 200, {"reference": made}

    @route("GET", "/repositories/{repository}/refs/{source}/merge/{dest}")
    def merge_base(self, _: Request, repository: str, source: str, dest: str) -> Any:
        held = self.repository(repository)
        left, right = held.commit_of(source), held.commit_of(dest)
        return 200, {
            "source_commit_id": left.id,
            "destination_commit_id": right.id,
            "base_commit_id": held.base(left, right).id,
        }

    @route("POST", "/repositories/{repository}/branches/{branch}/revert")
    def revert(self, request: Request, repository: str, branch: str) -> Any:
        wanted = request.json()
        overrides = wanted.get("commit_overrides") or {}
        self.repository(repository).revert(
            branch,
            wanted["ref"],
            wanted["parent_number"],
            overrides.get("message") or f"Revert {wanted['ref']}",
            overrides.get("metadata") or {},
        )
        return 204, None

    @route("GET", "/repositories/{repository}/branches/{branch}/diff")
    def diff_branch(self, request: Request, repository: str, branch: str) -> Any:
        return 200, _page(request, _diff(self.repository(repository).uncommitted(branch)))

    @route("GET", "/repositories/{repository}/refs/{left}/diff/{right}")
    def diff_refs(self, request: Request, repository: str, left: str, right: str) -> Any:
        held = self.repository(repository)
        if request.query("type") == "two_dot":
            found = difference(held.commit_of(left).tree, held.commit_of(right).tree)
        else:
            found = held.compare(left, right)
        return 200, _page(request, _diff(found))

    # -- objects -------------------------------------------------------------------------------------

    @route("GET", "/repositories/{repository}/refs/{ref}/objects/ls")
    def list_objects(self, request: Request, repository: str, ref: str) -> Any:
        tree = self.repository(repository).tree_of(ref)
        return 200, _page(request, {path: _stats(path, entry) for path, entry in tree.items()})

    def _entry(self, request: Request, repository: str, ref: str) -> Entry:
        entry = self.repository(repository).tree_of(ref).get(request.query("path"))
        if entry is None:
            raise ApiError(404, "not found")
        return entry

    @route("GET", "/repositories/{repository}/refs/{ref}/objects/stat")
    def stat_object(self, request: Request, repository: str, ref: str) -> Any:
        entry = self._entry(request, repository, ref)
        stats = _stats(request.query("path"), entry)
        if request.flag("presign"):
            stats["physical_address"] = f"{self.address}/store/{Path(entry.address).name}?signature=read"
        return 200, stats

    @route("GET", "/repositories/{repository}/refs/{ref}/objects")
    def get_object(self, request: Request, repository: str, ref: str) -> Any:
        return _download(request, Path(self._entry(request, repository, ref).address))

    @route("POST", "/repositories/{repository}/branches/{branch}/objects")
    def upload_object(self, request: Request, repository: str, branch: str) -> Any:
        self.repository(repository).branch(branch)
        checksum, size = _md5(request.body), request.body.stat().st_size
        metadata = {k.lower()[len(_META) :]: v for k, v in request.headers.items() if k.lower().startswith(_META)}
        kept = self.keep(request.body, request.rot)
        return 201, self._stage(request, repository, branch, kept, size, checksum, metadata)

    def _stage(
        self, request: Request, repository: str, branch: str, kept: Path, size: int, checksum: str, metadata: dict
    ) -> dict:
        path, kind = request.query("path"), request.headers.get("Content-Type", "application/octet-stream")
        entry = Entry(size, checksum, tuple(sorted(metadata.items())), kind, str(kept), int(time.time()))
        self.repository(repository).stage(branch, path, entry)
        return _stats(path, entry)

    @route("DELETE", "/repositories/{repository}/branches/{branch}/objects")
    def delete_object(self, request: Request, repository: str, branch: str) -> Any:
        self.repository(repository).stage(branch, request.query("path"), None)
        return 204, None

    # -- presigned uploads ---------------------------------------------------------------------------

    def _part_url(self, upload: str, number: int) -> str:
        return f"{self.address}/store/{upload}/{number}?signature=write"

    @route("POST", "/repositories/{repository}/branches/{branch}/staging/pmpu")
    def begin_upload(self, request: Request, repository: str, branch: str) -> Any:
        if not self.presign:
            raise ApiError(501, "presign multipart upload API is not supported")
        self.repository(repository).branch(branch)
        upload = uuid.uuid4().hex
        self.uploads[upload] = {}
        urls = [self._part_url(upload, number) for number in range(1, int(request.query("parts", "0")) + 1)]
        return 201, {"upload_id": upload, "physical_address": f"local://{upload}", "presigned_urls": urls}

    @route("PUT", "/repositories/{repository}/branches/{branch}/staging/pmpu/{upload}/parts/{number}")
    def part_url(self, _: Request, repository: str, branch: str, upload: str, number: str) -> Any:
        self.repository(repository).branch(branch)
        return 200, {"presigned_url": self._part_url(upload, int(number))}

    @route("PUT", "/repositories/{repository}/branches/{branch}/staging/pmpu/{upload}")
    def complete_upload(self, request: Request, repository: str, branch: str, upload: str) -> Any:
        wanted = request.json()
        if upload not in self.uploads:
            raise ApiError(500, "NoSuchUpload")
        parts = self.uploads[upload]
        tags = [parts[number][1] for number in sorted(parts)]
        if tags != [part["etag"] for part in wanted["parts"]]:
            raise ApiError(400, "InvalidPart")
        whole = self.folder / uuid.uuid4().hex
        with whole.open("wb") as target:
            for number in sorted(parts):
                target.write(parts[number][0].read_bytes())
        del self.uploads[upload]
        checksum = f"{hashlib.md5(b''.join(map(bytes.fromhex, tags))).hexdigest()}-{len(tags)}"
        metadata = wanted.get("user_metadata") or {}
        return 200, self._stage(request, repository, branch, whole, whole.stat().st_size, checksum, metadata)

    @route("DELETE", "/repositories/{repository}/branches/{branch}/staging/pmpu/{upload}")
    def abort_upload(self, _: Request, repository: str, branch: str, upload: str) -> Any:
        self.repository(repository).branch(branch)
        self.uploads.pop(upload, None)
        return 204, None

    def store(self, request: Request, method: str, path: str) -> Any:
        """The object store behind presigned addresses: it knows no access key of lakeFS."""
        if request.headers.get("Authorization"):
            raise ApiError(400, "InvalidArgument: only one auth mechanism allowed")
        if method == "GET":
            return _download(request, self.folder / path)
        upload, number = path.split("/")
        if upload not in self.uploads:
            raise ApiError(404, "NoSuchUpload")
        checksum = _md5(request.body)
        self.uploads[upload][int(number)] = (self.keep(request.body, request.rot), checksum)
        return 200, None, {"ETag": f'"{checksum}"'}


def _page(request: Request, items: dict[str, dict], *, ordered: bool = False) -> dict:
    """A page of a listing by key: ``prefix``, ``after``, ``amount`` (at most 1000, 100 where none is asked)."""
    keys = list(items) if ordered else sorted(key for key in items if key.startswith(request.query("prefix")))
    after = request.query("after")
    if after:
        keys = keys[keys.index(after) + 1 :] if ordered else [key for key in keys if key > after]
    amount = min(int(request.query("amount", "100")), 1000)
    page = keys[:amount]
    more = len(keys) > len(page)
    return {
        "pagination": {
            "has_more": more,
            "next_offset": page[-1] if more else "",
            "results": len(page),
            "max_per_page": 1000,
        },
        "results": [items[key] for key in page],
    }


def _diff(found: list) -> dict[str, dict]:
    return {path: {"type": kind, "path": path, "path_type": "object"} for kind, path in found}


def _commit(commit: Commit) -> dict:
    return {
        "id": commit.id,
        "parents": list(commit.parents),
        "committer": "test",
        "message": commit.message,
        "creation_date": commit.created,
        "meta_range_id": "",
        "metadata": commit.metadata,
        "generation": commit.generation,
    }


def _stats(path: str, entry: Entry) -> dict:
    return {
        "path": path,
        "path_type": "object",
        "physical_address": f"local://{Path(entry.address).name}",
        "checksum": entry.checksum,
        "size_bytes": entry.size,
        "mtime": entry.mtime,
        "metadata": dict(entry.metadata),
        "content_type": entry.content_type,
    }


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _download(request: Request, file: Path) -> Any:
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if not asked:
        return 200, Bytes(file)
    offset, size = int(asked[1]), file.stat().st_size
    if offset >= size:
        raise ApiError(416, "Requested Range Not Satisfiable")
    return 206, Bytes(file, offset), {"Content-Range": f"bytes {offset}-{size - 1}/{size}"}


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    standin: StandIn

    def log_message(self, format: str, *arguments: Any) -> None:
        return

    def _receive(self, body: Path) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        with body.open("wb") as target:
            while left and (piece := self.rfile.read(min(left, 1 << 20))):
                target.write(piece)
                left -= len(piece)

    def _handle(self) -> None:
        split = urlsplit(self.path)
        path, query = unquote(split.path), parse_qs(split.query, keep_blank_values=True)
        asked = f"{self.command} {path}"
        fault = self.standin.faults.strike(asked)
        with tempfile.TemporaryDirectory(dir=self.standin.folder) as folder:
            body = Path(folder) / "body"
            self._receive(body)
            self.standin.requests.append(asked)
            rot = fault is not None and fault.kind == "rot"
            if fault and fault.kind == "answer":
                return self._answer(fault.status, {"message": fault.message}, fault.headers, None)
            if fault and fault.first:
                with self.standin.lock:
                    fault.first()
            status, content, headers = self._act(Request(self, query, body, rot), path, split.path)
        if fault and fault.then:
            with self.standin.lock:
                fault.then()
        if fault and fault.kind == "lost":
            return self._hang_up()
        if fault and fault.kind == "acted":
            return self._answer(fault.status, {"message": fault.message}, fault.headers, None)
        return self._answer(status, content, headers, fault)

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _act(self, request: Request, path: str, raw: str) -> tuple[int, Any, dict[str, str]]:
        try:
            with self.standin.lock:
                if path.startswith("/store/"):
                    answer = self.standin.store(request, self.command, path.removeprefix("/store/"))
                else:
                    answer = self._api(request, raw.removeprefix("/api/v1"))
        except ApiError as error:
            return error.status, {"message": error.message}, {}
        return answer if len(answer) == 3 else (*answer, {})

    def _api(self, request: Request, raw: str) -> Any:
        if not self.standin.authorized(self.headers.get("Authorization")):
            raise ApiError(401, "error authenticating request")
        for method, pattern, function in _ROUTES:
            # Names are unquoted after the path was cut, so that a name with a slash stays one name.
            if method == self.command and (match := pattern.fullmatch(raw)):
                return function(
                    self.standin, request, **{name: unquote(value) for name, value in match.groupdict().items()}
                )
        raise ApiError(404, "invalid API endpoint")

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, content: Any, headers: dict[str, str], fault: Fault | None) -> None:
        offset, kind = 0, "application/json"
        if isinstance(content, Bytes):
            source, offset, kind = content.file, content.offset, "application/octet-stream"
            data = source.read_bytes()[offset:]
        elif isinstance(content, bytes):
            data, kind = content, "text/html"
        else:
            data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = len(data) // 2
        if fault and fault.kind == "flip":
            data = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        self.wfile.write(data[:half])
        if fault and fault.kind == "cut":
            return self._hang_up()
        if fault and fault.kind == "slow":
            self.wfile.flush()
            time.sleep(fault.seconds)
        try:
            self.wfile.write(data[half:])
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            # The client lost patience.
            self.close_connection = True
        return None
