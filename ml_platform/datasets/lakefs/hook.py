"""lakeFS asks before it merges into ``main``: a second line of defence behind the checks of the platform itself.

The server reads the action file at the source of a merge, and every branch gets it from ``main``. A client
that removes the file from its branch is not asked; so this guards against mistakes, not against malice.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.datasets.lakefs.commits import SERVER_PREFIX
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import MAIN, NoChanges
from ml_platform.foundation.errors import PlatformError, Refused

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

ACTION = f"{SERVER_PREFIX}ml_platform.yaml"
#: Path of the webhook, and how long the server waits for its answer; less than the adapter waits for the server.
HOOK, PATIENCE = "/lakefs/pre-merge", "20s"
_BRANCH = "ml-platform-hooks"


def action(address: str) -> str:
    """The action file that makes a server ask at ``address``, e.g. ``http://platform.example.org:3199``."""
    import yaml

    hook = {"id": "verdicts", "type": "webhook", "properties": {"url": address.rstrip("/") + HOOK, "timeout": PATIENCE}}
    document = {"name": "ml-platform verdicts", "on": {"pre-merge": {"branches": [MAIN]}}, "hooks": [hook]}
    return yaml.safe_dump(document, sort_keys=False)


def install(store: LakeFSStore, address: str) -> bool:
    """Bring the action file onto ``main``; false where it is there already. The hook must answer at ``address``."""
    store.delete_branch(_BRANCH)
    store.create_branch(_BRANCH)
    try:
        with tempfile.TemporaryDirectory(prefix="ml-platform-") as folder:
            local = Path(folder) / "action.yaml"
            local.write_text(action(address))
            store.commit(_BRANCH, {ACTION: local}, "Ask for the verdicts before a merge")
        store.merge(_BRANCH, MAIN, "Ask for the verdicts before a merge")
    except NoChanges:
        return False
    finally:
        store.delete_branch(_BRANCH)
    return True


def application(repository: str, judge: Callable[[str], None]) -> "Starlette":
    """The web application that a server asks: 200 allows a merge into ``main``, 403 refuses it and says why.

    ``judge`` gets the commit that is to be merged and raises Refused where it must not be; any other error
    refuses too.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def asked(request: "Request") -> "Response":
        try:
            event = await request.json()
            kind, where, branch = event["event_type"], event["repository_id"], event["branch_id"]
            source = str(event["source_ref"])
        except (ValueError, LookupError, TypeError):
            return PlainTextResponse("this is no event of lakeFS", 400)
        if (kind, where, branch) != ("pre-merge", repository, MAIN):
            return PlainTextResponse(f"asked only before merges into {MAIN} of {repository}", 400)
        try:
            await run_in_threadpool(judge, source)
        except Refused as error:
            return PlainTextResponse(str(error), 403)
        except PlatformError as error:
            return PlainTextResponse(f"the verdicts cannot be looked up: {error}", 503)
        return PlainTextResponse("every verdict allows it")

    return Starlette(routes=[Route(HOOK, asked, methods=["POST"])])
