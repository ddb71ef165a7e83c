"""What arrives in the demonstration: the months of the example, some of them changed on the way.

The source of the dataset reads a note of what happened to which month; who writes the note exchanges the delivery. When
a month has ended is for the clock to say.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, write_atomic
from ml_platform.foundation.objects import load_object
from ml_platform.foundation.settings import default_home

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.sources.source import Source

#: The example's own source.
EXAMPLE = "ml_platform.defs.flights.source:source"
#: Files in the project: the time that it is there, and what happened to which month.
CLOCK, DELIVERIES = "clock", "deliveries.json"
#: What may happen to a delivery.
TWICE, LATER, CORRECTED, GONE = "rows come twice", "ten minutes more on every arrival", "corrected", "not yet"


def deliver(home: Path, happened: Mapping[str, str]) -> None:
    """Note what happened to which months; others come as they are."""
    write_atomic(home / DELIVERIES, canonical_json(dict(happened)))


def changed(frame: "pl.DataFrame", what: str) -> "pl.DataFrame":
    """The rows of a month as they arrive. Raises PlatformError for what cannot happen to one."""
    import polars as pl

    if what == TWICE:
        return pl.concat([frame, frame])
    if what == LATER:
        return _arriving(frame, pl.col("arr_delay") + 10)
    if what == CORRECTED:
        # A hundred flights arrived a minute later than was said at first.
        few = pl.int_range(pl.len()) % (pl.len() // 100) == 0
        return _arriving(frame, pl.col("arr_delay") + pl.when(few).then(1).otherwise(0))
    raise PlatformError(f"{what!r} is nothing that happens to a delivery")


def _arriving(frame: "pl.DataFrame", delay: "pl.Expr") -> "pl.DataFrame":
    """Flights that arrived with another delay, and a time of arrival that agrees with it."""
    import polars as pl

    minutes = (pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100 + pl.col("arr_delay")) % 1440
    clock = pl.when(minutes == 0).then(2400).otherwise(minutes // 60 * 100 + minutes % 60)
    return frame.with_columns(arr_delay=delay).with_columns(
        arr_time=pl.when(pl.col("arr_delay").is_not_null()).then(clock).otherwise("arr_time")
    )


class Arrivals:
    """The source of the dataset ``flights`` in the demonstration."""

    def partitions(self) -> dict[str, str]:
        """Partition to fingerprint, which changes with what happened to the month."""
        happened = self._happened()
        return {
            name: sha256_bytes(canonical_json([fingerprint, happened[name]])) if name in happened else fingerprint
            for name, fingerprint in self._example().partitions().items()
            if happened.get(name) != GONE
        }

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of a month as they arrive."""
        frame, what = self._example().read(partition), self._happened().get(partition)
        return changed(frame, what) if what else frame

    @staticmethod
    def _example() -> "Source":
        return load_object(EXAMPLE, "source")

    @staticmethod
    def _happened() -> dict[str, str]:
        note = default_home() / DELIVERIES
        return json.loads(note.read_text()) if note.exists() else {}


source = Arrivals()
