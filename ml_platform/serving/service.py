"""The BentoML service, loaded inside a packaged Bento: one model, the feature code that trained it, its history.

Importing this module outside a packaged folder is an error, since the request's fields come from the package.
Tuning: tracing only where an endpoint is set, no access log, ``gc.freeze`` after loading, one thread per
prediction, no adaptive batching (a tree model gains nothing from waiting).
"""

import gc
import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args

import bentoml
import numpy as np
import polars as pl
from _bentoml_sdk.io_models import ensure_io_descriptor
from prometheus_client import Counter, Histogram
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_platform.features.build import featurize
from ml_platform.features.contract import FeatureFunction
from ml_platform.features.history import History
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.models.predictor import load_predictor, predictor_type
from ml_platform.models.task import Task, task_of
from ml_platform.serving import bundle
from ml_platform.serving.guard import Guard
from ml_platform.serving.parent import end_with_parent
from ml_platform.serving.prediction_log import PredictionLog
from ml_platform.serving.schema import columns_model, describe, rows_model, rows_to_frame, to_frame

end_with_parent()
SOURCE = Path(__file__).resolve().parents[2]
FILES = SOURCE / bundle.FOLDER
CONFIG, REQUEST = bundle.read(FILES)
TASK = task_of(CONFIG.task, CONFIG.classes, CONFIG.decision_threshold)
SHA256 = bundle.content_sha256(SOURCE)
HEADERS = {
    "x-model": CONFIG.model,
    "x-model-version": str(CONFIG.version),
    "x-service-sha256": SHA256,
}
#: Longest request id taken over from a caller, characters.
MAX_REQUEST_ID = 100
#: Predictions of one request that go into the histogram; the rest of a batch would only slow it down.
OBSERVED = 64


class Refusal(Exception):
    """A request that cannot be answered: HTTP status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Parsed(NamedTuple):
    """The validated body of a request, or why it was refused."""

    body: Any
    request_id: str


async def _parse(model: type[BaseModel], request: Request, _: object) -> Parsed:
    """Validate here: BentoML would log every bad request with a traceback and send back names that the caller chose."""
    request_id = request.headers.get("x-request-id", "")[:MAX_REQUEST_ID] or uuid.uuid4().hex
    try:
        return Parsed(model.model_validate_json(await request.body()), request_id)
    except ValidationError as error:
        return Parsed(Refusal(*describe(error)), request_id)


def _spec(model: type[BaseModel]) -> Any:
    """The body as BentoML's input description, so that the API's documentation shows every field."""
    spec: Any = ensure_io_descriptor(model)
    spec.__root_input__ = True
    spec.media_type = "application/json"
    spec.from_http_request = classmethod(_parse)
    return spec


def answer_model(task: Task) -> type[BaseModel]:
    """The body of an answer: the task's fields, then model and version."""
    fields: dict[str, Any] = {name: (kind, None if _optional(kind) else ...) for name, kind in task.fields.items()}
    return create_model(
        "Answer",
        __config__=ConfigDict(protected_namespaces=()),
        __doc__=task.answer.__doc__,
        **fields,
        model=(str, ...),
        version=(int, ...),
    )


def _optional(kind: Any) -> bool:
    return type(None) in get_args(kind)


ANSWER: Any = answer_model(TASK)


@contextmanager
def hidden(names: Sequence[str]) -> Iterator[None]:
    """Packages that cannot be imported inside the block, where they are not imported already."""
    found = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(found))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in found:
            del sys.modules[name]


def load_function(path: str) -> FeatureFunction:
    """The feature function at ``module:object``; a class is instantiated."""
    module, _, name = path.partition(":")
    found = getattr(import_module(module), name)
    return found() if isinstance(found, type) else found


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


def info(_: Request) -> JSONResponse:
    """What answers here; ``GET /info``."""
    return JSONResponse(
        {
            "model": CONFIG.model,
            "version": CONFIG.version,
            "sha256": SHA256,
            "model_sha256": CONFIG.model_sha256,
            "task": CONFIG.task,
            "history_until": CONFIG.history_until.isoformat() if CONFIG.history_until else None,
            "features": CONFIG.features,
            "inputs": [field.model_dump() for field in REQUEST.fields],
            "decision_threshold": CONFIG.decision_threshold,
            "classes": CONFIG.classes,
            "provenance": CONFIG.provenance,
        }
    )


_image = bentoml.images.Image(  # type: ignore[attr-defined]
    python_version=CONFIG.python, lock_python_packages=False
).python_packages(*CONFIG.requirements)


@bentoml.service(
    name=CONFIG.model,
    image=_image,
    workers=1,
    traffic={"timeout": 10, "max_concurrency": 64},
    tracing=tracing(),
    logging={"access": {"enabled": False}},
    metrics={"enabled": True, "namespace": "ml_service"},
)
class Service:
    """Predictions of one registered model version."""

    def __init__(self) -> None:
        for name, expected in ((CONFIG.file, CONFIG.model_sha256), (bundle.HISTORY, CONFIG.history_sha256)):
            if sha256_file(FILES / name) != expected:
                raise PlatformError(
                    f"{FILES / name} is not the packaged file (sha256 differs); package the version again"
                )
        self.function = load_function(CONFIG.function)
        self.history = History.load(self.function, FILES / bundle.HISTORY)
        # The container image has none of what is hidden; elsewhere a service starts as fast.
        with hidden(predictor_type(CONFIG.format).unused):
            self.predictor = load_predictor(CONFIG.format, FILES / CONFIG.file, 1, CONFIG.types)
        self.logged = [field.name for field in REQUEST.fields if not field.pii]
        labels = {"model": CONFIG.model, "version": str(CONFIG.version)}
        self.rows = _rows.labels(**labels)
        self.scores = _scores.labels(**labels)
        self.dropped = _dropped.labels(**labels)
        self.refused = _refused.labels(**labels)
        self.log: PredictionLog | None = None
        self._warm_up()
        if folder := os.environ.get("ML_PLATFORM_PREDICTION_LOG"):
            self.log = PredictionLog(
                Path(folder),
                CONFIG.model,
                CONFIG.version,
                classes=CONFIG.classes,
                flush_seconds=float(os.environ.get("ML_PLATFORM_PREDICTION_LOG_SECONDS") or 5),
                on_drop=self.dropped.inc,
            )
        gc.collect()
        gc.freeze()

    def _warm_up(self) -> None:
        """One prediction through the whole path; the process does not become ready when it fails."""
        body = rows_model(REQUEST).model_validate_json(json.dumps({"rows": [CONFIG.example]}))
        predictions = self._score(self._frame(body), covered=False)
        if not np.isfinite(predictions).all():
            raise PlatformError(
                f"model {CONFIG.model} version {CONFIG.version} predicts {predictions} for the example row"
            )

    def _frame(self, body: Any) -> pl.DataFrame:
        if hasattr(body, "columns"):
            return to_frame(REQUEST, {name: getattr(body.columns, name) for name in REQUEST.names})
        return rows_to_frame(REQUEST, body.rows)

    def _score(self, raw: pl.DataFrame, *, covered: bool = True) -> np.ndarray:
        if covered and self.function.histories:
            day: Any = raw[REQUEST.time].cast(pl.Date).max()
            if day is not None and not self.history.covers(day):
                raise Refusal(
                    409,
                    f"{REQUEST.time} {day} needs outcomes up to {self.history.lag_days} day(s) before, but the history "
                    f"of this service ends on {self.history.until}; deploy a version that was packaged with newer data",
                )
        return self.predictor.predict(featurize(self.function, raw, self.history))

    def _answer(self, parsed: Parsed) -> Response:
        try:
            if isinstance(parsed.body, Refusal):
                raise parsed.body
            raw = self._frame(parsed.body)
            predictions = self._score(raw)
        except (Refusal, PlatformError) as error:
            self.refused.inc()
            status = error.status if isinstance(error, Refusal) else 422
            return JSONResponse({"error": str(error)}, status, {"x-request-id": parsed.request_id})
        self.rows.inc(len(predictions))
        shown = predictions[:OBSERVED]
        for value in TASK.scores(shown).tolist():
            self.scores.observe(value)
        if self.log is not None:
            self.log.add(parsed.request_id, raw.select(self.logged), predictions)
        answer = ANSWER(**TASK.answer(predictions), model=CONFIG.model, version=CONFIG.version)
        return Response(
            answer.model_dump_json(exclude_none=True),
            200,
            {"x-request-id": parsed.request_id},
            "application/json",
        )

    @bentoml.api(input_spec=_spec(rows_model(REQUEST)), output_spec=ANSWER)
    async def predict(self, body: Any) -> Response:
        """Predict for rows: ``{"rows": [{…}, …]}``, 1 to 1,000 of them."""
        return self._answer(body)

    @bentoml.api(input_spec=_spec(columns_model(REQUEST)), output_spec=ANSWER)
    async def predict_columns(self, body: Any) -> Response:
        """Predict for a batch in columns: ``{"columns": {name: […], …}}``."""
        return self._answer(body)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write the rest of the prediction log."""
        if self.log is not None:
            self.log.close()


_LABELS = ["model", "version"]
_rows = Counter("ml_service_rows_total", "Rows predicted.", _LABELS)
_scores = Histogram(
    "ml_service_prediction",
    "Predictions; of several classes the probability of the one.",
    _LABELS,
    buckets=TASK.buckets,
)
_dropped = Counter("ml_service_prediction_log_dropped_total", "Rows that were not logged.", _LABELS)
_refused = Counter("ml_service_refused_total", "Requests refused after the guard.", _LABELS)

Service.add_asgi_middleware(
    Guard,  # type: ignore[arg-type]
    key_sha256=[key.strip() for key in os.environ.get("ML_PLATFORM_API_KEY_SHA256", "").split(",") if key.strip()],
    max_body=int(os.environ.get("ML_PLATFORM_SERVICE_BODY_LIMIT") or 2 << 20),
    rate=float(os.environ.get("ML_PLATFORM_SERVICE_RATE") or 0),
    headers=HEADERS,
)
Service.mount_asgi_app(Starlette(routes=[Route("/info", info)]), path="/", name="info")
