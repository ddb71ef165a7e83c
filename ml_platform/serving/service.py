"""The BentoML service of a package: the factory that an entry module calls.

A package names its entry module; that of a sound package is ``entry``. Tuning: tracing only where an endpoint is set,
no access log, ``gc.freeze`` after loading, one thread per prediction, no adaptive batching (a tree model gains nothing
from waiting).
"""

import os
import sys
import uuid
from collections.abc import Callable
from typing import Any

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform.features.build import featurize
from ml_platform.foundation.variables import INSTALLATION, OWNER, ROUTED, SettingsMistake, service_options
from ml_platform.models.predictor import load_predictor
from ml_platform.serving.answer import (
    REQUEST_ID,
    Answering,
    Featurize,
    Load,
    Metrics,
    Parsed,
    Refusal,
    answer_model,
    contents,
)
from ml_platform.serving.bentoml_internals import answer_in_one_piece, body_of, bound_metrics
from ml_platform.serving.explaining import explanation_model
from ml_platform.serving.guard import Guard
from ml_platform.serving.parent import end_with_parent
from ml_platform.serving.prediction_log import Asked
from ml_platform.serving.schema import RequestSchema, columns_model, describe, rows_model

#: Headers that say which request it is, in the order of Asked: ours, the caller's, and the router's route and role.
SAID = (REQUEST_ID.encode(), b"x-request-id", b"x-ml-route", b"x-ml-role")
#: Path of what :meth:`Answering.info` tells.
INFO = "/info"
#: What is taken over of each, characters.
MAX_HEADER = 100
#: The request's columns → pydantic model of a body.
Parser = Callable[[RequestSchema], type[BaseModel]]


async def _parse(model: type[BaseModel], request: Request, _: object) -> Parsed:
    """Validate here: BentoML would log every bad request with a traceback and send back names that the caller chose."""
    # Without a router that sets them, all but the caller's own id would be the caller's word as well.
    read = SAID if os.environ.get(ROUTED) else SAID[1:2]
    headers = {name: value[:MAX_HEADER].decode("latin1") for name, value in request.scope["headers"] if name in read}
    asked = Asked(headers.get(SAID[0]) or uuid.uuid4().hex, *(headers.get(name, "") for name in SAID[1:]))
    try:
        return Parsed(model.model_validate_json(await request.body()), asked)
    except ValidationError as error:
        return Parsed(Refusal(*describe(error)), asked)


def tracing() -> Any:
    """BentoML's tracing: to the OpenTelemetry endpoint where one is set, else off for every path."""
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint:
        return {"excluded_urls": ".*"}
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
    config, metrics = package.config, Metrics(package)
    rows = rows_model(package.request)
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
        # The guard counts what is worked on: here, a body that stalls would count as well.
        traffic={"timeout": 10, "max_concurrency": 4096},
        tracing=tracing(),
        logging={"access": {"enabled": False}},
        metrics={"enabled": True, "namespace": "ml_service"},
    )
    class Service:
        """Predictions of one registered model version."""

        def __init__(self) -> None:
            self.answering = Answering(package, metrics, featurize, rows, (answer, explanation), options, load)
            loaded.append(self.answering)

        @bentoml.api(input_spec=body_of(rows, _parse, example), output_spec=answer)
        async def predict(self, body: Any) -> Response:
            """Predict for rows: ``{"rows": [{…}, …]}``, 1 to 1,000 of them."""
            return self.answering.answer(body)

        @bentoml.api(input_spec=body_of(columns_model(package.request), _parse, columns), output_spec=answer)
        async def predict_columns(self, body: Any) -> Response:
            """Predict for a batch in columns: ``{"columns": {name: […], …}}``."""
            return self.answering.answer(body)

        @bentoml.api(input_spec=body_of(rows, _parse, example), output_spec=explanation)
        async def explain(self, body: Any) -> Response:
            """Predict for 1 to 100 rows, and name the features that moved each prediction most, with their SHAP values.

            In units of the model's margin: log-odds of a binary model, of several classes for the one that is decided
            for. 422 for a model that has none for a row by itself.
            """
            return self.answering.explain(body)

        @bentoml.on_shutdown
        def close(self) -> None:
            """Write the rest of the prediction log."""
            self.answering.close()

    bound_metrics([INFO, *(method.route for method in Service.apis.values())])
    Service.add_asgi_middleware(
        Guard,  # type: ignore[arg-type]
        key_sha256=options.keys,
        max_body=options.service_body_limit,
        rate=options.service_rate,
        router=SAID[2] if os.environ.get(ROUTED) else b"",
        headers={
            "x-model": config.model,
            "x-model-version": str(config.version),
            "x-service-sha256": package.sha256,
            INSTALLATION: os.environ.get(OWNER, ""),
            "x-history-sha256": package.history.sha256,
            "x-history-until": package.history.until.isoformat() if package.history.until else "",
        },
    )
    Service.mount_asgi_app(Starlette(routes=[Route(INFO, info)]), path="/", name="info")
    return Service
