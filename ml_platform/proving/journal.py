"""What was measured already, so that a killed run goes on where it stopped; and how long all of it took."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_platform.foundation.files import canonical_json


class OutOfTime(Exception):
    """The budget is spent; what was not begun stays unmeasured."""


class Journal:
    """Measurements in a file, one a line, synced one by one. Held by one process at a time (see the caller's lock).

    ``seconds`` is the budget of all runs together that share the file: what an earlier run measured costs what it cost
    then, when it is asked for again, so that a run that goes on decides as if it had never been stopped.
    """

    def __init__(self, file: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.file, self.seconds, self._clock = file, seconds, clock
        self._entries: dict[str, tuple[Any, float]] = {}
        self._used: set[str] = set()
        #: Seconds that the measurements took that this run asked for.
        self.spent = 0.0
        #: Measurements that this run made itself.
        self.made = 0
        self._limit = seconds
        #: When the measurement that is being made began.
        self._begun: float | None = None
        if file.exists():
            self._read()

    def measured(self, key: str, measure: Callable[[], Any]) -> Any:
        """The result of a measurement: the noted one, else a new one, which is noted.

        Raises OutOfTime before a new one where the time is up, and passes on whatever ``measure`` raises, unnoted.
        """
        if key not in self._entries:
            self.check()
            self._begun = self._clock()
            try:
                result = measure()
            except OutOfTime:
                self.spent += self._clock() - self._begun
                raise
            finally:
                seconds, self._begun = round(self._clock() - self._begun, 3), None
            self._note(key, result, seconds)
        result, seconds = self._entries[key]
        if key not in self._used:
            self._used.add(key)
            self.spent += seconds
        return result

    @property
    def known(self) -> int:
        """Measurements that are noted."""
        return len(self._entries)

    def check(self) -> None:
        """Raise OutOfTime where no time is left; to be called within a long measurement as well."""
        if self.elapsed >= self._limit:
            raise OutOfTime

    @property
    def elapsed(self) -> float:
        """Seconds spent, with those of the measurement that is being made."""
        return self.spent + (0.0 if self._begun is None else self._clock() - self._begun)

    def until(self, share: float) -> None:
        """Let this share of the time that is left be spent before OutOfTime is raised; 1 lifts that again."""
        self._limit = self.spent + share * max(0.0, self.seconds - self.spent)

    def _note(self, key: str, result: Any, seconds: float) -> None:
        line = canonical_json({"key": key, "result": result, "seconds": seconds})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        # What a run that goes on would read is what this one goes on with.
        self._entries[key] = (json.loads(line)["result"], seconds)
        self.made += 1

    def _read(self) -> None:
        """Read what there is. A last line that was cut off by a kill is taken out."""
        content = self.file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            with self.file.open("r+b") as stream:
                stream.truncate(len(whole))
                os.fsync(stream.fileno())
        for line in whole.splitlines():
            entry = json.loads(line)
            self._entries[entry["key"]] = (entry["result"], entry["seconds"])
