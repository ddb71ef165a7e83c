"""From the validated body of a request to an answer: one model, the feature code that trained it, its history."""

import gc
import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from pydantic import BaseModel

from ml_platform.features import build
from ml_platform.features.contract import FeatureFunction, load_function
from ml_platform.features.history import History
from ml_platform.features.single import Single, single
from ml_platform.foundation.clock import clock
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.times import days
from ml_platform.foundation.variables import ServiceOptions
from ml_platform.models.checked import Misbehaved, answered
from ml_platform.models.predictor import Predictor, load_predictor, predictor_type
from ml_platform.models.task import Task, task_of
from ml_platform.serving import arrow, bundle, explaining
from ml_platform.serving.bodies import refused
from ml_platform.serving.counters import Metrics
from ml_platform.serving.known import Known
from ml_platform.serving.prediction_log import Answerer, Asked, PredictionLog
from ml_platform.serving.schema import RequestSchema, example_rows, rows_to_frame, to_frame, values_to_frame
from ml_platform.serving.snapshots import Snapshot, of_process

#: Root of the code that is running; inside a package the folder ``src``.
SOURCE = Path(__file__).resolve().parents[2]
#: Predictions of one request that go into the histogram; the rest of a batch would only slow it down.
OBSERVED = 64
#: Header with our id of a request: a caller repeats its own, a router gives one request to two versions.
REQUEST_ID = "x-ml-request-id"
#: Header with the rows, by column, that have a text which training has not seen; and columns that it names at most.
UNSEEN, NAMED = "x-unseen", 20

#: Media type of an answer, unless it is a stream.
JSON_TYPE = "application/json"

#: Feature function, raw rows of a request, history → float32 matrix (rows x features).
Featurize = Callable[[FeatureFunction, pl.DataFrame, History], np.ndarray]
#: Format, model file, threads, further types → predictor.
Load = Callable[[str, Path, int, tuple[str, ...]], Predictor]


class Contents(NamedTuple):
    """What lies in a package."""

    config: bundle.ServiceConfig
    request: RequestSchema
    task: Task
    #: Identity of its content.
    sha256: str
    #: Folder of the model file and the history that it was packaged with.
    files: Path
    #: The history of this process.
    history: Snapshot


@lru_cache(maxsize=1)
def contents() -> Contents:
    """What lies in the package that this code is part of. Raises PlatformError where it is part of none."""
    files = SOURCE / bundle.FOLDER
    config, request = bundle.read(files)
    task = task_of(config.task, config.classes, config.decision_threshold)
    history = of_process(config, files / bundle.HISTORY)
    return Contents(config, request, task, bundle.content_sha256(SOURCE), files, history)


class Refusal(Exception):
    """A request that cannot be answered: HTTP status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Parsed(NamedTuple):
    """The validated body of a request, or why it was refused."""

    body: Any
    asked: Asked
    #: Whether it came as an Arrow stream, and is answered so.
    arrow: bool = False


class Answer(NamedTuple):
    """What is answered, and how."""

    status: int
    body: bytes
    headers: dict[str, str]
    kind: str = JSON_TYPE


def _rows(body: Any) -> int:
    """How many rows a body has."""
    if isinstance(body, pl.DataFrame):
        return body.height
    return len(body.rows) if hasattr(body, "rows") else len(next(iter(body.columns.__dict__.values())))


@contextmanager
def hidden(names: Sequence[str]) -> Generator[None]:
    """Packages that cannot be imported inside the block, where they are not imported already."""
    found = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(found))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in found:
            del sys.modules[name]


class Answering:
    """A loaded version: from a validated body to an answer.

    Raises PlatformError when a packaged file is not what it was, or when the example row cannot be predicted.
    """

    def __init__(
        self,
        package: Contents,
        metrics: Metrics,
        featurize: Featurize,
        rows: type[BaseModel],
        answers: tuple[type[BaseModel], type[BaseModel]],
        options: ServiceOptions,
        load: Load = load_predictor,
    ) -> None:
        config, files = package.config, package.files
        if sha256_file(files / config.file) != config.model_sha256:
            raise PlatformError(
                f"{files / config.file} is not the packaged file (sha256 differs); package the version again"
            )
        self.package, self.metrics, self.featurize = package, metrics, featurize
        #: Bodies of an answer and of one that is explained.
        self.model, self.explanation = answers
        self.function = load_function(config.function)
        self.history = History.load(self.function, package.history.file)
        #: What of texts training has seen.
        self.known = Known(config.known)
        #: The newest day that was asked for.
        self.asked: date | None = None
        # The container image has none of what is hidden; elsewhere a service starts as fast.
        with hidden(predictor_type(config.format).unused):
            self.predictor = load(config.format, files / config.file, 1, config.types)
        self.log: PredictionLog | None = None
        example = self._warm_up(rows)
        #: How one row is featurized without a frame; None where it is not.
        self.single = self._single(example)
        if folder := options.prediction_log:
            # What is personal is in the log as a hash alone, and what cannot be asked for is no key.
            asked = {field.name for field in package.request.asked}
            personal = {field.name for field in package.request.fields if field.pii} & set(package.request.key)
            hashed = package.request.key if personal and set(package.request.key) <= asked else ()
            self.log = PredictionLog(
                Path(folder),
                Answerer(
                    config.model,
                    config.version,
                    package.sha256,
                    package.history.sha256,
                    package.history.until if self.function.histories else None,
                    package.request.time,
                    hashed,
                    options.hash_key.get_secret_value(),
                ),
                columns=[field.name for field in package.request.fields if not field.pii and field.made_from != ""],
                classes=config.classes,
                frame=partial(values_to_frame, package.request),
                keep_days=options.prediction_log_days,
                flush_seconds=options.prediction_log_seconds,
                on_drop=metrics.dropped.inc,
                clock=clock(options),
            )
        gc.collect()
        gc.freeze()

    def _single(self, example: dict[str, Any]) -> Single | None:
        request = self.package.request
        if self.featurize is not build.featurize or len(request.asked) < len(request.fields):
            return None
        types = {field.name: field.dtype for field in request.fields}
        rows = example_rows(request, example)
        return single(self.function, types, self.history, rows, values_to_frame(request, rows))

    def _warm_up(self, rows: type[BaseModel]) -> dict[str, Any]:
        """One prediction through the whole path, of values that are returned; without it the process is not ready."""
        config = self.package.config
        body: Any = rows.model_validate_json(json.dumps({"rows": [config.example]}))
        predictions = self.predictor.predict(self.featurize(self.function, self._frame(body), self.history))
        answered(self.package.task, predictions)
        if not np.isfinite(predictions).all():
            raise PlatformError(
                f"model {config.model} version {config.version} predicts {predictions} for the example row"
            )
        return dict(body.rows[0].__dict__)

    def _frame(self, body: Any) -> pl.DataFrame:
        request = self.package.request
        if isinstance(body, pl.DataFrame):
            return body
        if hasattr(body, "columns"):
            return to_frame(request, {field.name: getattr(body.columns, field.name) for field in request.asked})
        return rows_to_frame(request, body.rows)

    def _featurized(self, body: Any) -> "tuple[pl.DataFrame | dict[str, Any], np.ndarray, int, bool]":
        """The raw rows (of one its values, where they were enough), their features, and :meth:`_behind`."""
        # A frame has something else that is called rows.
        rows: Any = () if isinstance(body, pl.DataFrame) else getattr(body, "rows", ())
        if self.single is not None and len(rows) == 1:
            values = rows[0].__dict__
            behind = self._behind(values.get(self.package.request.time))
            if (matrix := self.single.matrix(values, self.history)) is not None:
                return values, matrix, *behind
        raw = self._frame(body)
        behind = self._behind(days(raw[self.package.request.time]).max() if self.function.histories else None)
        return raw, self.featurize(self.function, raw, self.history), *behind

    def _behind(self, day: Any) -> tuple[int, bool]:
        """Age of the history for the newest of the rows, days, and whether it is older than declared.

        Raises Refusal where such rows are refused.
        """
        if not self.function.histories:
            return 0, False
        time, until = self.package.request.time, self.history.until
        if until is None or day is None:
            return 0, until is None
        self.asked = day if self.asked is None else max(day, self.asked)
        behind = self.history.behind(day)
        if behind and self.package.config.stale == "refuse":
            raise Refusal(
                409,
                f"{time} {day} needs outcomes up to {self.history.newest(day)}, but the history of this service ends "
                f"on {until}; refresh it with ml-platform refresh",
            )
        return (day - until).days, bool(behind)

    def answer(self, parsed: Parsed) -> Answer:
        """The predictions as they were asked for, counted and logged; a refusal with its status and one line."""
        return self._answered(parsed, self.model, lambda _, __: {}, lambda _: None)

    def _answered(
        self,
        parsed: Parsed,
        model: type[BaseModel],
        further: Callable[[np.ndarray, np.ndarray], dict[str, Any]],
        require: Callable[[int], None],
    ) -> Answer:
        """An answer with ``further`` fields of matrix and predictions; ``require`` raises PlatformError for so many."""
        asked, metrics = parsed.asked, self.metrics
        headers = {"x-request-id": asked.client_request_id or asked.request_id, REQUEST_ID: asked.request_id}
        try:
            if isinstance(parsed.body, Refusal):
                raise parsed.body
            require(_rows(parsed.body))
            raw, matrix, age, stale = self._featurized(parsed.body)
            predictions = self.predictor.predict(matrix)
            given = answered(self.package.task, predictions) | further(matrix, predictions)
            stream = arrow.to_stream(given, len(predictions)) if parsed.arrow else None
        except (Refusal, PlatformError) as error:
            metrics.refused.inc()
            # A model whose code misbehaves is the fault of none who asks it.
            status = error.status if isinstance(error, Refusal) else 500 if isinstance(error, Misbehaved) else 422
            return Answer(status, refused(str(error)), headers)
        config, task = self.package.config, self.package.task
        metrics.rows.inc(len(predictions))
        for value in task.scores(predictions[:OBSERVED]).tolist():
            metrics.scores.observe(value)
        if self.function.histories:
            metrics.age.set(age)
            headers["x-history-age-days"] = str(age)
        if stale:
            metrics.stale.inc(len(predictions))
        if self.log is not None:
            self.log.add(asked, raw, predictions, matrix)
        if unseen := self.known.unseen(raw):
            metrics.unseen.inc(len(set().union(*unseen.values())))
            headers[UNSEEN] = json.dumps({name: len(rows) for name, rows in islice(unseen.items(), NAMED)})
        if stream is not None:
            # Model and version stand in the headers of every answer.
            return Answer(200, stream, headers | ({"x-stale": "true"} if stale else {}), arrow.ARROW_TYPE)
        more = {"stale": stale or None, "unseen": unseen or None}
        answer = model(**given, model=config.model, version=config.version, **more)
        return Answer(200, answer.model_dump_json(exclude_none=True).encode(), headers)

    def explain(self, parsed: Parsed) -> Answer:
        """The predictions, counted and logged as others, with what moved each of them; see :mod:`.explaining`."""
        config = self.package.config
        return self._answered(
            parsed,
            self.explanation,
            lambda matrix, predictions: {
                "explanations": explaining.explanations(self.predictor, matrix, predictions, config.features)
            },
            lambda rows: explaining.require_explainable(self.predictor, config.format, rows),
        )

    def info(self) -> dict[str, Any]:
        """What answers here, and how old its history is for the newest day that was asked for."""
        package, asked, until = self.package, self.asked, self.history.until
        config, refreshed = package.config, self.history.refreshed
        return {
            "model": config.model,
            "version": config.version,
            "sha256": package.sha256,
            "model_sha256": config.model_sha256,
            "task": config.task,
            "history_sha256": package.history.sha256,
            "history_until": until.isoformat() if until else None,
            "history_lag_days": self.history.lag_days,
            "history_refresh": "partition" if refreshed else "day",
            "history_age_days": (asked - until).days if asked and until else None,
            "history_behind_days": self.history.behind(asked) if asked else None,
            "stale": config.stale,
            "features": config.features,
            "inputs": [field.model_dump(exclude={"made_from"}) for field in package.request.asked],
            "decision_threshold": config.decision_threshold,
            "classes": config.classes,
            "provenance": config.provenance,
        }

    def close(self) -> None:
        """Write the rest of the prediction log."""
        if self.log is not None:
            self.log.close()
