"""lakeFS asks before ``main`` changes: a second line of defence behind the checks of the platform itself.

The server reads the action file at the source of a merge, and on ``main`` before a commit, revert or cherry-pick there.
Every branch gets the file from ``main`` or when it is installed. A client that removes it from its branch, or merges a
commit from before, is not asked; so this guards against mistakes, not against malice.
"""

import hmac
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.datasets.lakefs.commits import SERVER_PREFIX
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import MAIN, NoChanges, NotFound
from ml_platform.foundation.errors import PlatformError, Refused, StoreError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

ACTION = f"{SERVER_PREFIX}ml_platform.yaml"
#: Path of the webhook, and how long the server waits for its answer; less than the adapter waits for the server.
HOOK, PATIENCE = "/lakefs/pre-merge", "20s"
#: Everything by which ``main`` may change and before which the server asks.
MERGE = "pre-merge"
EVENTS = (MERGE, "pre-commit", "pre-revert", "pre-cherry-pick")
#: Header with the shared secret, and the variable of the server that holds it. The file that everybody reads names the
#: variable only; a server passes none on that begins otherwise.
HEADER, VARIABLE = "x-ml-platform-secret", "LAKEFSACTION_ML_PLATFORM_SECRET"
_BRANCH, _MESSAGE = "ml-platform-hooks", "Ask for the verdicts before main changes"


def action(address: str) -> str:
    """The action file that makes a server ask at ``address``, e.g. ``http://platform.example.org:3199``."""
    import yaml

    properties = {
        "url": address.rstrip("/") + HOOK,
        "timeout": PATIENCE,
        "headers": {HEADER: f"{{{{ ENV.{VARIABLE} }}}}"},
    }
    hook = {"id": "verdicts", "type": "webhook", "properties": properties}
    on = {event: {"branches": [MAIN]} for event in EVENTS}
    return yaml.safe_dump({"name": "ml-platform verdicts", "on": on, "hooks": [hook]}, sort_keys=False)


class Installed(NamedTuple):
    """Where the action file was put."""

    #: Branches that had none, or another one.
    branches: list[str]
    #: Why a branch did not get it, one line each: what is merged from there is not asked about.
    without: list[str]


def install(store: LakeFSStore, address: str) -> Installed:
    """Bring the action file onto ``main`` and every other branch. The hook must answer at ``address``."""
    with tempfile.TemporaryDirectory(prefix="ml-platform-") as folder:
        local = Path(folder) / "action.yaml"
        local.write_text(action(address))
        done = Installed([], [])
        store.delete_branch(_BRANCH)
        store.create_branch(_BRANCH)
        try:
            store.commit(_BRANCH, {ACTION: local}, _MESSAGE)
            store.merge(_BRANCH, MAIN, _MESSAGE)
            done.branches.append(MAIN)
        except NoChanges:
            pass
        finally:
            store.delete_branch(_BRANCH)
        for branch in store.branches():
            if branch in store.protected:
                continue
            try:
                store.commit(branch, {ACTION: local}, _MESSAGE)
                done.branches.append(branch)
            except NoChanges:
                pass
            except NotFound:
                pass  # Deleted since the branches were listed.
            except StoreError as error:
                done.without.append(str(error))
    return done


def application(repository: str, judge: Callable[[str], None], secret: str) -> "Starlette":
    """The web application that a server asks: 200 allows a change of ``main``, 403 refuses it and says why.

    ``judge`` gets the commit that is to be merged and raises Refused where it must not be; any other error
    refuses too. Who does not send the ``secret`` along gets 401, and no other word.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def asked(request: "Request") -> "Response":
        if not hmac.compare_digest(request.headers.get(HEADER, "").encode(), secret.encode()):
            return PlainTextResponse(f"{HEADER} is missing or wrong", 401)
        try:
            event = await request.json()
            kind, where, branch = event["event_type"], event["repository_id"], event["branch_id"]
            source = str(event["source_ref"])
        except (ValueError, LookupError, TypeError):
            return PlainTextResponse("this is no event of lakeFS", 400)
        if kind not in EVENTS or (where, branch) != (repository, MAIN):
            return PlainTextResponse(f"asked only before changes of {MAIN} of {repository}", 400)
        if kind != MERGE:
            what = kind.removeprefix("pre-")
            return PlainTextResponse(
                f"{MAIN} changes by merges alone, and a {what} says not what it would change: publish through the "
                "platform, take back with ml-platform data rollback",
                403,
            )
        try:
            await run_in_threadpool(judge, source)
        except Refused as error:
            return PlainTextResponse(str(error), 403)
        except PlatformError as error:
            return PlainTextResponse(f"the verdicts cannot be looked up: {error}", 503)
        return PlainTextResponse("every verdict allows it")

    return Starlette(routes=[Route(HOOK, asked, methods=["POST"])])
