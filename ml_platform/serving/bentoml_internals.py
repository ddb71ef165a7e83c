"""The undocumented parts of BentoML that the platform uses; no other module uses any."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, create_model
from starlette.requests import Request

from ml_platform.foundation.internals import internals_of

VERSIONS = "~=1.4.39"


def body_of(model: type[BaseModel], parse: Callable[[type[BaseModel], Request, object], Awaitable[Any]]) -> Any:
    """A request's body as BentoML's input description: ``model`` is the whole of it and ``parse`` reads it.

    The API's documentation shows every field. Raises PlatformError where BentoML is a version that was not tested.
    """
    with internals_of("bentoml", VERSIONS):
        from bentoml import IODescriptor

        described: Any = create_model(f"{model.__name__}IODescriptor", __base__=(IODescriptor, model))
    described.__root_input__ = True
    described.media_type = "application/json"
    described.from_http_request = classmethod(parse)
    return described


def worker(bento: Path, socket: int, *, keep_alive: int, grace: int) -> list[str]:
    """The command of a service's one process, which answers on an open socket (its descriptor).

    ``bentoml serve`` would start a second process. Times in seconds. Raises PlatformError where BentoML is a version
    that was not tested.
    """
    with internals_of("bentoml", VERSIONS):
        return [
            *(sys.executable, "-m", "_bentoml_impl.worker.service", str(bento), "--fd", str(socket)),
            *("--timeout-keep-alive", str(keep_alive), "--timeout-graceful-shutdown", str(grace)),
        ]
