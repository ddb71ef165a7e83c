"""What a source may know of the dataset that it delivers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_platform.sources.partitions import Partitions


@dataclass(frozen=True)
class SourceContext:
    """A dataset as far as its source is concerned."""

    #: Name of the dataset, for messages.
    name: str
    #: Columns that identify a row.
    key: tuple[str, ...]
    #: Column with the day or the time of the event; empty for data without time.
    time: str
    partitions: Partitions
    #: Column to polars type, as the dataset's schema declares them; imported when first asked for.
    types: Callable[[], Mapping[str, Any]]
    #: The clock, aware.
    now: Callable[[], datetime]
