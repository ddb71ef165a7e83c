"""The BentoML service of a package: the factory that an entry module calls.

A package names its entry module; that of a sound package is ``entry``. Tuning: tracing only where an endpoint is set,
no access log, ``gc.freeze`` after loading, one thread per prediction, no adaptive batching (a tree model gains nothing
from waiting).
"""

import hmac
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform.features.build import featurize
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.variables import INSTALLATION, OWNER, ROUTED, ROUTER, SettingsMistake, service_options
from ml_platform.models.predictor import load_predictor
from ml_platform.serving.answer import (
    REQUEST_ID,
    Answer,
    Answering,
    Featurize,
    Load,
    Parsed,
    Refusal,
    contents,
)
from ml_platform.serving.arrow import ARROW_TYPE, NoStream, to_frame
from ml_platform.serving.bentoml_internals import App, answer_in_one_piece, body_of, in_front, show
from ml_platform.serving.bodies import answer_model, refused
from ml_platform.serving.counters import Metrics
from ml_platform.serving.explaining import explanation_model
from ml_platform.serving.guard import Guard
from ml_platform.serving.page import HEADERS, documented, page
from ml_platform.serving.parent import end_with_parent
from ml_platform.serving.prediction_log import Asked
from ml_platform.serving.refusals import MAX_MESSAGE, describe
from ml_platform.serving.routes import ANSWERING, EXPLAIN, PREDICT, PREDICT_COLUMNS
from ml_platform.serving.schema import RequestSchema, columns_model, rows_model

#: Headers that say which request it is, in the order of Asked: ours, the caller's, and the router's route and role.
SAID = (REQUEST_ID.encode(), b"x-request-id", b"x-ml-route", b"x-ml-role")
_ROUTER = ROUTER.encode()
#: Path of what :meth:`Answering.info` tells.
INFO = "/info"
#: What is taken over of each, characters.
MAX_HEADER = 100
#: The request's columns → pydantic model of a body.
Parser = Callable[[RequestSchema], type[BaseModel]]
#: Those of a request, and how they and its body are read: with the model of a body.
Headers = Sequence[tuple[bytes, bytes]]
Parse = Callable[[type[BaseModel], Headers, bytes], Parsed]

logger = logging.getLogger(__name__)


def _parse(model: type[BaseModel], headers: Headers, body: bytes) -> Parsed:
    """Validate here: BentoML would log every bad request with a traceback, and send back all of it."""
    asked = _asked(headers)
    try:
        return Parsed(model.model_validate_json(body), asked)
    except ValidationError as error:
        return Parsed(Refusal(*describe(error)), asked)


def _parse_columns(schema: RequestSchema) -> Parse:
    """As :func:`_parse`, of a batch, which may come as an Arrow stream."""

    def parse(model: type[BaseModel], headers: Headers, body: bytes) -> Parsed:
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        if kind.split(b";")[0].strip().lower() != ARROW_TYPE.encode():
            return _parse(model, headers, body)
        asked = _asked(headers)
        try:
            return Parsed(to_frame(schema, body), asked, arrow=True)
        except PlatformError as error:
            return Parsed(Refusal(400 if isinstance(error, NoStream) else 422, str(error)[:MAX_MESSAGE]), asked)

    return parse


def _asked(headers: Headers) -> Asked:
    """Which request it is, as its headers say."""
    # But for what a router said, all but the caller's own id would be the caller's word as well.
    read = SAID if _by_router(headers) else SAID[1:2]
    found = {name: value[:MAX_HEADER].decode("latin1") for name, value in headers if name in read}
    said = (found.get(name, "") for name in SAID[1:])
    return Asked(found.get(SAID[0]) or uuid.uuid4().hex, *said, began=time.perf_counter())


def _by_router(headers: Headers) -> bool:
    """Whether a request came through the router: its secret is nothing that a caller knows."""
    secret = os.environ.get(ROUTED, "").encode()
    said = [value for name, value in headers if name == _ROUTER]
    return bool(secret) and len(said) == 1 and hmac.compare_digest(said[0], secret)


def _by_bentoml(parse: Parse) -> Any:
    """How BentoML reads a body."""

    async def read(model: type[BaseModel], request: Request, _: object) -> Parsed:
        return parse(model, request.scope["headers"], await request.body())

    return read


def _response(answer: Answer) -> Response:
    """An answer as BentoML sends it."""
    return Response(answer.body, answer.status, answer.headers, answer.kind)


def _directly(read: Callable[[Headers, bytes], Parsed], answer: Callable[[Parsed], Answer], name: str) -> App:
    """An app that answers what the guard let through, as BentoML would."""
    server = (b"server", f"BentoML Service/{name}".encode())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # The guard hands on a body in one piece.
        body = (await receive())["body"]
        try:
            found = answer(read(scope["headers"], body))
        except Exception:
            logger.exception("Exception on %s", scope["path"])
            found = Answer(500, refused("An unexpected error has occurred, please check the server log."), {})
        headers = [(name.encode(), value.encode("latin1")) for name, value in found.headers.items()]
        headers += (b"content-length", str(len(found.body)).encode()), (b"content-type", found.kind.encode()), server
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    return app


def tracing() -> Any:
    """BentoML's tracing: to the OpenTelemetry endpoint where one is set, else off for every path.

    Ends the process with one line where nothing is installed that could send traces.
    """
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint:
        return {"excluded_urls": ".*"}
    try:
        import_module("opentelemetry.exporter.otlp.proto.http")
    except ImportError:
        sys.exit(
            "ml-platform: OTEL_EXPORTER_OTLP_ENDPOINT is set, and no exporter of traces is installed: "
            "pip install 'ml-platform[traces]', or unset it"
        )
    return {
        "exporter_type": "otlp",
        "sample_rate": float(os.environ.get("OTEL_TRACES_SAMPLER_ARG") or 1.0),
        "otlp": {"protocol": "http", "endpoint": f"{endpoint.rstrip('/')}/v1/traces"},
    }


def service(
    *,
    featurize: Featurize = featurize,
    rows_model: Parser = rows_model,
    columns_model: Parser = columns_model,
    load: Load = load_predictor,
) -> Any:
    """The BentoML service of the package that this code is part of: ``Service = service()`` in its entry module.

    Once per process, since the process has one set of metrics. ``featurize`` makes the matrix of a request,
    ``rows_model`` and ``columns_model`` the models that check its body, ``load`` the predictor; the defaults are those
    of a sound package. Raises PlatformError outside a packaged folder: the request's fields come from the package. Ends
    the process with one line where its settings cannot be meant: without its key a service would answer to everybody.
    """
    try:
        options = service_options()
    except SettingsMistake as mistake:
        sys.exit(f"ml-platform: {mistake}")
    end_with_parent()
    answer_in_one_piece()
    package = contents()
    config = package.config
    metrics = Metrics(config.model, config.version, package.task.buckets)
    rows, batch = rows_model(package.request), columns_model(package.request)
    parse_columns = _parse_columns(package.request)
    answer: Any = answer_model(package.task)
    explanation: Any = explanation_model(answer)
    example = {"rows": [config.example]}
    columns = {"columns": {name: [value] for name, value in config.example.items()}}

    loaded: list[Answering] = []

    def info(_: Request) -> JSONResponse:
        return JSONResponse(loaded[-1].info())

    @bentoml.service(
        name=config.model,
        image=bentoml.images.Image(  # type: ignore[attr-defined]
            python_version=config.python, lock_python_packages=False
        ).python_packages(*config.requirements),
        workers=1,
        # The guard counts requests, and what is worked on.
        traffic={"timeout": 10},
        tracing=tracing(),
        logging={"access": {"enabled": False}},
        metrics={"enabled": True, "namespace": "ml_service"},
    )
    class Service:
        """Predictions of one registered model version."""

        def __init__(self) -> None:
            self.answering = Answering(package, metrics, featurize, rows, (answer, explanation), options, load)
            loaded.append(self.answering)

        @bentoml.api(route=PREDICT, input_spec=body_of(rows, _by_bentoml(_parse), example), output_spec=answer)
        async def predict(self, body: Any) -> Response:
            """Predict for rows: ``{"rows": [{…}, …]}``, 1 to 1,000 of them."""
            return _response(self.answering.answer(body))

        @bentoml.api(
            route=PREDICT_COLUMNS,
            input_spec=body_of(batch, _by_bentoml(parse_columns), columns),
            output_spec=answer,
        )
        async def predict_columns(self, body: Any) -> Response:
            """Predict for a batch in columns: ``{"columns": {name: […], …}}``, 1 to 100,000 rows.

            Or as an Arrow stream with these columns (``application/vnd.apache.arrow.stream``, without compression and
            dictionaries), which is answered by one with the fields of the answer as columns.
            """
            return _response(self.answering.answer(body))

        @bentoml.api(route=EXPLAIN, input_spec=body_of(rows, _by_bentoml(_parse), example), output_spec=explanation)
        async def explain(self, body: Any) -> Response:
            """Predict for 1 to 100 rows, and name the features that moved each prediction most, with their SHAP values.

            In units of the model's margin: log-odds of a binary model, of several classes for the one that is decided
            for. 422 for a model that has none for a row by itself.
            """
            return _response(self.answering.explain(body))

        @bentoml.on_shutdown
        def close(self) -> None:
            """Write the rest of the prediction log."""
            self.answering.close()

    guarding = partial(
        Guard,
        key_sha256=options.keys,
        max_body=options.service_body_limit,
        rate=options.service_rate,
        router=SAID[2] if os.environ.get(ROUTED) else b"",
        also={PREDICT_COLUMNS: ARROW_TYPE},
        headers={
            "x-model": config.model,
            "x-model-version": str(config.version),
            "x-service-sha256": package.sha256,
            INSTALLATION: os.environ.get(OWNER, ""),
            "x-history-sha256": package.history.sha256,
            "x-history-until": package.history.until.isoformat() if package.history.until else "",
        },
    )

    def answered(parsed: Parsed) -> Answer:
        return loaded[-1].answer(parsed)

    def explained(parsed: Parsed) -> Answer:
        return loaded[-1].explain(parsed)

    documents = partial(documented, answering=ANSWERING, batch=PREDICT_COLUMNS)
    show(page(config.model, config.version), HEADERS, documents)
    apps = {
        PREDICT: _directly(partial(_parse, rows), answered, config.model),
        PREDICT_COLUMNS: _directly(partial(parse_columns, batch), answered, config.model),
        EXPLAIN: _directly(partial(_parse, rows), explained, config.model),
    }
    traced = "excluded_urls" not in tracing()
    # What is answered beside BentoML's methods. Counted and let through is what stands here, and mounted below.
    beside = [Route(INFO, info)]
    in_front(
        Service,
        None if traced else guarding,
        apps,
        [*(route.path for route in beside), *ANSWERING],
    )
    if traced:
        # BentoML's way alone has a trace of each request, of those too that the guard refuses.
        Service.add_asgi_middleware(Guard, **guarding.keywords)  # type: ignore[arg-type]
    Service.mount_asgi_app(Starlette(routes=beside), path="/", name="info")
    return Service
