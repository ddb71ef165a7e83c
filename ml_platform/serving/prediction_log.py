"""The log of predictions: what was asked and answered, as Parquet files, without slowing the answer."""

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import replacing, sha256_bytes
from ml_platform.foundation.times import days
from ml_platform.serving.hashed_keys import hashed

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

logger = logging.getLogger(__name__)

#: Columns before the inputs; the inputs of the request follow, and the prediction.
LEADING = (
    "predicted_at",
    "request_id",
    "request_row",
    "client_request_id",
    "request_route",
    "request_role",
    "model_name",
    "model_version",
    "package_sha256",
    "history_sha256",
    "history_age_days",
    "features_sha256",
    "answer_seconds",
)
#: The key of a row as a hash, where it has personal columns.
KEY_HASH = "key_hmac_sha256"
PREDICTION = "prediction"
PROBABILITIES = "probabilities"
#: Names of columns of the log's own.
OWN = frozenset({*LEADING, KEY_HASH, PREDICTION, PROBABILITIES})
#: Number of the form of these files, in their metadata; those without one were the first, and
#: those with 2 say nothing of ``answer_seconds``.
FORMAT = "3"
#: Name of a folder with the files of one day.
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Asked(NamedTuple):
    """Which request it was: our id, that of the caller, and by which route and in which role it came."""

    request_id: str
    client_request_id: str = ""
    #: As the router says it; empty where none stands in front.
    route: str = ""
    role: str = ""
    #: When it was taken, by ``time.perf_counter``; None where nobody looked.
    began: float | None = None


class Answerer(NamedTuple):
    """What answers: version, package and history."""

    model: str
    version: int
    package_sha256: str = ""
    history_sha256: str = ""
    #: Last day that the history knows, and the column with the day of a row.
    until: date | None = None
    time: str = ""
    #: Columns of a key that is kept as a hash, and the secret of that; without, none is kept.
    hashed: tuple[str, ...] = ()
    secret: str = ""


class _Entry(NamedTuple):
    time: datetime
    asked: Asked
    inputs: "pl.DataFrame | Mapping[str, Any]"
    predictions: "np.ndarray"
    matrix: "np.ndarray | None"
    seconds: float | None


class PredictionLog:
    """Bounded list → thread → Parquet files with an atomic rename; what does not fit is dropped and counted.

    Files appear in ``folder/<model>/<day>/`` (UTC) after ``flush_seconds`` or ``flush_rows``. Columns:
    ``predicted_at`` (UTC, microseconds), ``request_id``, ``request_row`` (position in the request),
    ``client_request_id``, ``request_route``, ``request_role`` (as the router says them), ``model_name``,
    ``model_version``, ``package_sha256``, ``history_sha256``, ``history_age_days`` (of the row's day),
    ``features_sha256`` (of the row's float32 features), ``answer_seconds`` (from the request's arrival in the process
    to its predictions; null where nobody looked), ``key_hmac_sha256`` (of a key with personal columns), of the
    raw inputs ``columns`` (None: all), ``prediction``
    (float32; with ``classes`` the name of the most probable one, and ``probabilities`` of all in their order). Days
    that are older than ``keep_days`` are deleted; 0 keeps all. A killed process loses what it had not flushed.
    """

    def __init__(
        self,
        folder: Path,
        answerer: Answerer,
        *,
        columns: Sequence[str] | None = None,
        classes: tuple[str, ...] = (),
        keep_days: int = 0,
        flush_seconds: float = 5.0,
        flush_rows: int = 50_000,
        max_requests: int = 2_000,
        max_rows: int = 200_000,
        on_drop: Callable[[int], object] | None = None,
        frame: "Callable[[Sequence[Mapping[str, Any]]], pl.DataFrame] | None" = None,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self.folder = folder / answerer.model
        self.folder.mkdir(parents=True, exist_ok=True)
        self.answerer, self.classes, self.columns, self.keep_days = answerer, classes, columns, keep_days
        self.flush_seconds, self.flush_rows, self.max_rows = flush_seconds, flush_rows, max_rows
        #: Rows that were not logged because the queue was full or a file could not be written.
        self.dropped = 0
        self._on_drop, self._clock, self._to_frame = on_drop, clock, frame
        self._pending = 0
        self._lock = threading.Lock()
        self.max_requests = max_requests
        self._waiting: list[_Entry] = []
        self._waiting_rows = 0
        # Set where the thread must not wait for the time to flush: to wake it for each request costs a tenth of it.
        self._wake = threading.Event()
        self._sequence = 0
        self._expired: date | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def add(
        self,
        asked: Asked,
        inputs: "pl.DataFrame | Mapping[str, Any]",
        predictions: "np.ndarray",
        matrix: "np.ndarray | None" = None,
    ) -> bool:
        """Queue the rows of one request, or the values of its one row (which ``frame`` makes a frame of, with others),
        with the features that they became; False when they were dropped. Never waits."""
        rows, at = len(predictions), self._now()
        took = None if asked.began is None else time.perf_counter() - asked.began
        with self._lock:
            room = len(self._waiting) < self.max_requests and self._pending + rows <= self.max_rows
            fits = room and not self._closed
            if fits:
                self._waiting.append(_Entry(at, asked, inputs, predictions, matrix, took))
                self._pending += rows
                self._waiting_rows += rows
                if self._waiting_rows >= self.flush_rows:
                    self._wake.set()
        if not fits:
            self._drop(rows)
        return fits

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued and end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._wake.set()
        self._thread.join(timeout)

    def _now(self) -> datetime:
        """What the clock says in UTC; wall time where its file cannot be read: no answer may fail of it."""
        try:
            return self._clock().astimezone(UTC)
        except PlatformError:
            return now_utc()

    def _drop(self, rows: int) -> None:
        with self._lock:
            self.dropped += rows
        if self._on_drop is not None:
            self._on_drop(rows)

    def _run(self) -> None:
        ended = False
        while not ended:
            self._wake.wait(self.flush_seconds)
            with self._lock:
                self._wake.clear()
                ended = self._closed
                entries, rows = self._waiting, self._waiting_rows
                self._waiting, self._waiting_rows = [], 0
            if entries:
                self._flush(entries, rows)

    def _flush(self, entries: list[_Entry], rows: int) -> None:
        try:
            self._write(entries)
        except Exception:
            # The thread must outlive a full disk: the service goes on, and the loss is counted.
            logger.exception("prediction log: %d rows could not be written to %s", rows, self.folder)
            self._drop(rows)
        finally:
            with self._lock:
                self._pending -= rows

    def _write(self, entries: list[_Entry]) -> None:
        for day in sorted({entry.time.date() for entry in entries}):
            self._sequence += 1
            path = self.folder / day.isoformat() / f"{time.time_ns()}-{os.getpid()}-{self._sequence}.parquet"
            frame = self._frame([entry for entry in entries if entry.time.date() == day])
            with replacing(path, private=True) as temporary:
                frame.write_parquet(temporary, compression="zstd", metadata={"format": FORMAT})
            if self.keep_days and day != self._expired:
                expire(self.folder, day - timedelta(days=self.keep_days))
                self._expired = day

    def _frame(self, entries: list[_Entry]) -> "pl.DataFrame":
        """The rows of some requests. Together, since a frame for each request would cost as much as its answer."""
        import numpy as np
        import polars as pl

        of = self.answerer
        counts = [len(entry.predictions) for entry in entries]
        inputs = pl.concat(self._inputs(entries))

        def each(name: str, values: list[Any], dtype: Any = pl.String) -> pl.Series:
            """A value of each request, for all its rows."""
            return pl.Series(name, values, dtype=dtype).gather(np.repeat(np.arange(len(values)), counts))

        age = pl.lit(None)
        if of.until is not None and of.time in inputs.columns:
            age = (pl.lit(days(inputs[of.time])) - of.until).dt.total_days()
        hashes = [
            one
            for entry in entries
            for one in ([None] * len(entry.predictions) if entry.matrix is None else _hashes(entry.matrix))
        ]
        return inputs.select(
            each("predicted_at", [entry.time for entry in entries], pl.Datetime("us", "UTC")),
            each("request_id", [entry.asked.request_id for entry in entries]),
            pl.Series("request_row", [row for count in counts for row in range(count)], dtype=pl.Int32),
            each("client_request_id", [entry.asked.client_request_id for entry in entries]),
            each("request_route", [entry.asked.route for entry in entries]),
            each("request_role", [entry.asked.role for entry in entries]),
            pl.lit(of.model).alias("model_name"),
            pl.lit(of.version, dtype=pl.Int32).alias("model_version"),
            pl.lit(of.package_sha256).alias("package_sha256"),
            pl.lit(of.history_sha256).alias("history_sha256"),
            age.cast(pl.Int32).alias("history_age_days"),
            pl.Series("features_sha256", hashes, dtype=pl.String),
            each("answer_seconds", [entry.seconds for entry in entries], pl.Float32),
            *([hashed(inputs, of.hashed, of.secret).alias(KEY_HASH)] if of.hashed and of.secret else []),
            pl.all() if self.columns is None else pl.col(self.columns),
            *self._predicted(np.concatenate([entry.predictions for entry in entries])),
        )

    def _inputs(self, entries: list[_Entry]) -> "Iterator[pl.DataFrame]":
        """The raw rows, in order; those that came as values stand beside each other in one frame."""
        import polars as pl

        for framed, together in groupby((entry.inputs for entry in entries), lambda one: isinstance(one, pl.DataFrame)):
            rows: list[Any] = [*together]
            if framed:
                yield from rows
            else:
                assert self._to_frame is not None
                yield self._to_frame(rows)

    def _predicted(self, predictions: "np.ndarray") -> "list[pl.Series]":
        import polars as pl

        if not self.classes:
            return [pl.Series(PREDICTION, predictions, dtype=pl.Float32)]
        names = [self.classes[index] for index in predictions.argmax(axis=1)]
        return [
            pl.Series(PREDICTION, names, dtype=pl.String),
            pl.Series(PROBABILITIES, predictions, dtype=pl.Array(pl.Float32, len(self.classes))),
        ]


def features_sha256(features: "np.ndarray") -> str:
    """Identity of one row's float32 features: what the model was asked, whatever history and code made it."""
    return sha256_bytes(features.tobytes())


def _hashes(matrix: "np.ndarray") -> list[str]:
    """:func:`features_sha256` of each row, from bytes that are taken once."""
    content, width = memoryview(matrix.tobytes()), matrix.shape[1] * matrix.itemsize
    return [sha256(content[row * width : (row + 1) * width]).hexdigest() for row in range(len(matrix))]


def expire(folder: Path, before: date) -> None:
    """Delete the days of a model's log that are older than ``before``."""
    for path in folder.iterdir():
        if DAY.fullmatch(path.name) and path.name < before.isoformat():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".parquet" and _written(path) < before:
            path.unlink(missing_ok=True)


def _written(path: Path) -> date:
    """The day of a file of the first form, which had no folders: its name begins with the time in nanoseconds."""
    named = path.name.partition("-")[0]
    return datetime.fromtimestamp(int(named) / 1e9, UTC).date() if named.isdigit() else date.max
