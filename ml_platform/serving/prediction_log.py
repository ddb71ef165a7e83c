"""The log of predictions: what was asked and answered, as Parquet files, without slowing the answer."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.foundation.files import replacing

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

logger = logging.getLogger(__name__)

#: Columns before the inputs; the inputs of the request follow, and the prediction.
LEADING = ("predicted_at", "request_id", "request_row", "model_name", "model_version")
PREDICTION = "prediction"
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class _Entry:
    time: datetime
    request_id: str
    inputs: "pl.DataFrame"
    predictions: "np.ndarray"


class PredictionLog:
    """Bounded queue → thread → Parquet files with an atomic rename; what does not fit is dropped and counted.

    Files appear in ``folder/<model>/`` after ``flush_seconds`` or ``flush_rows``. Columns:
    ``predicted_at`` (UTC, microseconds), ``request_id``, ``request_row`` (position in the request), ``model_name``,
    ``model_version``, the raw inputs among ``columns`` (None: all), ``prediction`` (float32; with ``classes`` the name
    of the most probable one, and ``probabilities`` of all in their order). A killed process loses what it had not flushed.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        version: int,
        *,
        columns: Sequence[str] | None = None,
        classes: tuple[str, ...] = (),
        flush_seconds: float = 5.0,
        flush_rows: int = 50_000,
        max_requests: int = 2_000,
        max_rows: int = 200_000,
        on_drop: Callable[[int], object] | None = None,
    ) -> None:
        self.folder = folder / model
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model, self.version, self.classes, self.columns = model, version, classes, columns
        self.flush_seconds, self.flush_rows, self.max_rows = flush_seconds, flush_rows, max_rows
        #: Rows that were not logged because the queue was full or a file could not be written.
        self.dropped = 0
        self._on_drop = on_drop
        self._pending = 0
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Entry | None] = queue.Queue(max_requests)
        self._sequence = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, request_id: str, inputs: "pl.DataFrame", predictions: "np.ndarray") -> bool:
        """Queue the rows of one request; False when they were dropped. Never waits."""
        rows = len(predictions)
        with self._lock:
            fits = not self._closed and self._pending + rows <= self.max_rows
            if fits:
                try:
                    self._queue.put_nowait(_Entry(datetime.now(UTC), request_id, inputs, predictions))
                    self._pending += rows
                except queue.Full:
                    fits = False
        if not fits:
            self._drop(rows)
        return fits

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued and end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None, timeout=timeout)
        self._thread.join(timeout)

    def _drop(self, rows: int) -> None:
        with self._lock:
            self.dropped += rows
        if self._on_drop is not None:
            self._on_drop(rows)

    def _run(self) -> None:
        entries: list[_Entry] = []
        rows, deadline = 0, 0.0
        while True:
            wait = max(0.0, deadline - time.monotonic()) if entries else None
            entry: _Entry | None = None
            ended = False
            try:
                entry = self._queue.get(timeout=wait)
                ended = entry is None
            except queue.Empty:
                pass  # the time to flush has come
            if entry is not None:
                if not entries:
                    deadline = time.monotonic() + self.flush_seconds
                entries.append(entry)
                rows += len(entry.predictions)
            if entries and (ended or rows >= self.flush_rows or time.monotonic() >= deadline):
                self._flush(entries, rows)
                entries, rows = [], 0
            if ended:
                return

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

    def _predicted(self, predictions: "np.ndarray") -> "list[pl.Series]":
        import polars as pl

        if not self.classes:
            return [pl.Series(PREDICTION, predictions, dtype=pl.Float32)]
        names = [self.classes[index] for index in predictions.argmax(axis=1)]
        return [
            pl.Series(PREDICTION, names, dtype=pl.String),
            pl.Series(PROBABILITIES, predictions, dtype=pl.Array(pl.Float32, len(self.classes))),
        ]

    def _write(self, entries: list[_Entry]) -> None:
        import polars as pl

        frames = [
            entry.inputs.select(
                pl.lit(entry.time).cast(pl.Datetime("us", "UTC")).alias("predicted_at"),
                pl.lit(entry.request_id).alias("request_id"),
                pl.int_range(pl.len(), dtype=pl.Int32).alias("request_row"),
                pl.lit(self.model).alias("model_name"),
                pl.lit(self.version, dtype=pl.Int32).alias("model_version"),
                pl.all() if self.columns is None else pl.col(self.columns),
                *self._predicted(entry.predictions),
            )
            for entry in entries
        ]
        self._sequence += 1
        path = self.folder / f"{time.time_ns()}-{os.getpid()}-{self._sequence}.parquet"
        with replacing(path) as temporary:
            pl.concat(frames).write_parquet(temporary, compression="zstd")
