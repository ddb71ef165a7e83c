"""lakeFS servers that the tests talk to: the stand-in always, a real one where ``LAKEFS_ENDPOINT`` names it.

The real server's key is read from ``LAKEFS_ACCESS_KEY_ID`` and ``LAKEFS_SECRET_ACCESS_KEY``; repositories are
made below ``LAKEFS_STORAGE_NAMESPACE`` (default ``local://``) and deleted when their test ends. Its hooks reach
this process at ``LAKEFS_CALLBACK``.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ml_platform.datasets.lakefs.api import Connection, Server
from ml_platform.datasets.lakefs.server import open_repository
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform_tests.datasets.lakefs_standin import StandIn

ENDPOINT = os.environ.get("LAKEFS_ENDPOINT", "")
#: Where the server reaches this process, without a port.
CALLBACK = os.environ.get("LAKEFS_CALLBACK", "http://127.0.0.1")
#: What the server sends along, see ``datasets.lakefs.hook.VARIABLE``.
SECRET = os.environ.get("LAKEFSACTION_ML_PLATFORM_SECRET", "")
NAMESPACE = os.environ.get("LAKEFS_STORAGE_NAMESPACE", "local://")


def real_server(**patience: Any) -> Server:
    """The server that the environment names."""
    return Server(
        ENDPOINT,
        os.environ.get("LAKEFS_ACCESS_KEY_ID", ""),
        SecretStr(os.environ.get("LAKEFS_SECRET_ACCESS_KEY", "")),
        **patience,
    )


def key(standin: StandIn, **patience: Any) -> Server:
    """The stand-in, with little patience for its faults."""
    patience = {"pause_seconds": 0.01, **patience}
    return Server(standin.address, standin.access_key, SecretStr(standin.secret_key), **patience)


def below(namespace: str, name: str) -> str:
    """A storage namespace for one repository."""
    return namespace + name if namespace.endswith("/") else f"{namespace}/{name}"


@contextmanager
def repository(server: Server, namespace: str, folder: Path, **options: Any) -> Iterator[LakeFSStore]:
    """A store on a new repository with ``main`` protected."""
    name = f"test-{uuid.uuid4().hex}"
    api = Connection(server)
    open_repository(api, name, below(namespace, name))
    try:
        yield LakeFSStore(api, name, folder / "cache", **options)
    finally:
        api.call(name, api.sdk.repositories_api.delete_repository, name, force=True)


def put_by_another_tool(store: LakeFSStore, branch: str, path: str, text: str) -> None:
    """Put an object without what the platform writes beside it."""
    url = store.api.url("repositories", store.repository, "branches", branch, "objects", path=path)
    headers = {"Content-Type": "application/octet-stream", **store.api.authorization()}
    with store.api.exchange("POST", url, headers=headers, timeout=(3, 10), body=text.encode()):
        return


def commit_by_another_tool(store: LakeFSStore, branch: str) -> str:
    """Commit what is staged on a branch, without a look at it."""
    from lakefs_sdk.models.commit_creation import CommitCreation

    made = CommitCreation(message="by another tool")
    return str(store.api.call(branch, store.api.sdk.commits_api.commit, store.repository, branch, made).id)
