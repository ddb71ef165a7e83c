"""The undocumented parts of BentoML, and of uvicorn below it, that the platform uses; no other module uses any."""

import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, create_model
from starlette.requests import Request

from ml_platform.foundation.internals import internals_of

VERSIONS = "~=1.4.39"
#: What BentoML itself answers, beside the files of its page.
PATHS = ("/", "/livez", "/readyz", "/healthz", "/metrics", "/schema.json", "/docs.json")
#: What the metrics call every path that a service does not have.
OTHER = "/other"


def body_of(
    model: type[BaseModel], parse: Callable[[type[BaseModel], Request, object], Awaitable[Any]], example: Any
) -> Any:
    """A request's body as BentoML's input description: ``model`` is the whole of it and ``parse`` reads it.

    The API's documentation shows every field, and the ``example``. Raises PlatformError where BentoML is a version that
    was not tested.
    """
    with internals_of("bentoml", VERSIONS):
        from bentoml import IODescriptor

        class Shown(BaseModel):
            """What the documentation says beside the fields."""

            @classmethod
            def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> Any:
                schema = handler(core)
                handler.resolve_ref_schema(schema)["example"] = example
                return schema

        described: Any = create_model(f"{model.__name__}IODescriptor", __base__=(Shown, IODescriptor, model))
    described.__root_input__ = True
    described.media_type = "application/json"
    described.from_http_request = classmethod(parse)
    return described


def bound_metrics(paths: Collection[str]) -> None:
    """Let the metrics of this process's service name each path that it has, ``paths`` among them, and no other.

    BentoML makes some twenty series for each path that anybody asks for, and keeps them. Raises PlatformError where
    BentoML is a version that was not tested.
    """
    with internals_of("bentoml", VERSIONS):
        from bentoml._internal import server
        from bentoml._internal.server.http import instruments

        page = Path(server.__file__).parent / "static_content"
        known = {*PATHS, *paths, *(f"{path}/" for path in paths)}
        known |= {f"/{page.name}/{file.relative_to(page).as_posix()}" for file in page.rglob("*")}
        counting: Any = instruments.RunnerTrafficMetricsMiddleware

        class Bounded(counting):
            """Counts, and passes on, a path that the service does not have as one and the same."""

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                if "path" in scope and scope["path"] not in known:
                    scope = {**scope, "path": OTHER, "raw_path": OTHER.encode()}
                await super().__call__(scope, receive, send)

        # The one that the service is made with is looked up there.
        instruments.RunnerTrafficMetricsMiddleware = Bounded


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


class _Joined:
    """A transport that keeps the head of an answer until the first piece of its body."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write the data, with what was kept; the first are kept."""
        if self._head is None:
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def answer_in_one_piece() -> None:
    """Let head and body of an answer leave this process in one write, where uvicorn makes two.

    Of a process that is killed in between, a router has handed on the head already, and can ask no other process.
    """
    from uvicorn.protocols.http import httptools_impl

    class Cycle(httptools_impl.RequestResponseCycle):
        async def send(self, message: Any) -> None:
            # The answer to HEAD has no second part.
            if message["type"] == "http.response.start" and self.scope["method"] != "HEAD":
                self.transport: Any = _Joined(self.transport)
            await super().send(message)

    httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc]
