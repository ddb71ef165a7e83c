"""The undocumented parts of BentoML, and of uvicorn below it, that the platform uses; no other module uses any."""

import json
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import BaseModel, create_model
from starlette.requests import Request

from ml_platform.foundation.internals import internals_of

App = Callable[[Any, Any, Any], Awaitable[None]]

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


def in_front(
    service: Any, guard: Callable[[App], App] | None, answering: Mapping[str, App], paths: Collection[str]
) -> None:
    """Put the platform's own way of answering in front of BentoML's, whose way takes as long as a prediction.

    Every request is counted as BentoML counts, under its own path where that is one of ``paths`` or of BentoML's, else
    under :data:`OTHER`: BentoML makes some twenty series for each path that anybody asks for, and keeps them. Then,
    with a ``guard``, it passes that, and what is posted to a path of ``answering`` is answered by that app, inside of
    the middlewares that the service was given. All else, and without a guard everything, goes on to BentoML.

    Raises PlatformError where BentoML is a version that was not tested.
    """
    with internals_of("bentoml", VERSIONS):
        from bentoml._internal import server
        from bentoml._internal.context import server_context
        from bentoml._internal.server.http import instruments

        page = Path(server.__file__).parent / "static_content"
        known = {*PATHS, *paths, *(f"{path}/" for path in paths)}
        known |= {f"/{page.name}/{file.relative_to(page).as_posix()}" for file in page.rglob("*")}
        counting: Any = instruments.RunnerTrafficMetricsMiddleware

        class Front(counting):
            """Made by BentoML once the service is complete, as the outermost of its middlewares."""

            def __init__(self, app: App, **options: Any) -> None:
                super().__init__(app, **options)
                self._setup()
                self._labels = {
                    "service_name": server_context.bento_name,
                    "service_version": server_context.bento_version,
                    "runner_name": server_context.service_name,
                }
                self._last = self.metrics_last_request_timestamp.labels(**self._labels)
                # Looked up by labels each time, a number costs more than counting does.
                self._working = cache(self._of_path)
                self._ended = cache(self._of_status)
                self._next = guard(self._routed) if guard else app
                self._own: App = self._answered
                for kind, options in reversed(service.middlewares):
                    self._own = kind(self._own, **options)

            async def _routed(self, scope: Any, receive: Any, send: Any) -> None:
                posted = scope["method"] == "POST" and scope["path"] in answering
                await (self._own if posted else self.app)(scope, receive, send)

            async def _answered(self, scope: Any, receive: Any, send: Any) -> None:
                await answering[scope["path"]](scope, receive, send)

            def _of_path(self, path: str) -> Any:
                return self.metrics_request_in_progress.labels(endpoint=path, **self._labels)

            def _of_status(self, path: str, status: int) -> tuple[Any, Any]:
                labels = {"endpoint": path, "http_response_code": status, **self._labels}
                return self.metrics_request_total.labels(**labels), self.metrics_request_duration.labels(**labels)

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] != "http":
                    return await self.app(scope, receive, send)
                path = scope["path"]
                if path == "/metrics":
                    return await self._next(scope, receive, send)
                if path not in known:
                    path = OTHER
                    scope = {**scope, "path": OTHER, "raw_path": OTHER.encode()}
                if not path.startswith(tuple(self.skip_paths)):
                    self._last.set_to_current_time()
                began, status = perf_counter(), 0

                async def counted(message: Any) -> None:
                    nonlocal status
                    if message["type"] == "http.response.start":
                        status = message["status"]
                    elif not message.get("more_body"):
                        total, duration = self._ended(path, status)
                        total.inc()
                        duration.observe(perf_counter() - began)
                    await send(message)

                working = self._working(path)
                working.inc()
                try:
                    await self._next(scope, receive, counted)
                finally:
                    working.dec()

        # The one that the service is made with is looked up there.
        instruments.RunnerTrafficMetricsMiddleware = Front


def show(page: str, headers: Mapping[str, str], documented: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Let a service answer with ``page`` at its root, in place of BentoML's, which loads Google Tag Manager.

    ``documented`` makes what ``/docs.json`` says of what BentoML would say there, which knows of JSON alone. Raises
    PlatformError where BentoML is a version that was not tested.
    """
    from starlette.responses import HTMLResponse, JSONResponse

    with internals_of("bentoml", VERSIONS):
        from _bentoml_impl.server.app import ServiceAppFactory

        async def index_page(self: Any, _: Request) -> HTMLResponse:
            return HTMLResponse(page, headers=dict(headers))

        async def openapi_spec_view(self: Any, _: Request) -> JSONResponse:
            # As it would be sent: numbers that are keys are texts there.
            return JSONResponse(documented(json.loads(bytes(JSONResponse(self.service.openapi_spec.asdict()).body))))

        ServiceAppFactory.index_page = index_page  # type: ignore[assignment]
        ServiceAppFactory.openapi_spec_view = openapi_spec_view  # type: ignore[assignment]


def worker_of(bento: Path) -> list[str]:
    """The part of the command of a service's process that says which package it serves."""
    return ["-m", "_bentoml_impl.worker.service", str(bento)]


def worker(bento: Path, socket: int, *, keep_alive: int, grace: int) -> list[str]:
    """The command of a service's one process, which answers on an open socket (its descriptor).

    ``bentoml serve`` would start a second process. Times in seconds. Raises PlatformError where BentoML is a version
    that was not tested.
    """
    with internals_of("bentoml", VERSIONS):
        return [
            *(sys.executable, *worker_of(bento), "--fd", str(socket)),
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
