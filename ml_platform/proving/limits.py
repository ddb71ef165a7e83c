"""The smallest dose of an error that a gate notices: searched between doses that it does and does not notice."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from ml_platform.gates.stages import Stage
from ml_platform.proving.doses import Dosed


class Noticed(NamedTuple):
    """What holds one dose back: a stage with its gates, failed ones before errored ones; no gate where nothing does."""

    stage: Stage | str = ""
    gates: tuple[str, ...] = ()


class Found(NamedTuple):
    """Places among rising doses."""

    #: The smallest that is noticed, while the one before it is not; ``None``: none is.
    noticed: int | None
    #: The first above it that was tried and is not noticed; ``None`` where the largest is.
    lost: int | None = None


def search(doses: int, noticed: Callable[[int], bool], *, largest_only: bool = False) -> Found:
    """Find a dose that is noticed with none, or an unnoticed one, right before it.

    Whatever the gates do, both are really judged. Where the largest dose is not noticed, every second of the others is
    tried from above (an observation that is late by a day looks like one in time), but with ``largest_only``.
    """
    high, lost = doses - 1, None
    if not noticed(high):
        if largest_only:
            return Found(None)
        high = next((place for place in range(doses - 3, -1, -2) if noticed(place)), -1)
        if high < 0:
            return Found(None)
        lost = high + 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if noticed(middle) else (middle, high)
    return Found(high, lost)


@dataclass(frozen=True)
class Limit:
    """What is known of one error at one place."""

    error: str
    column: str
    #: The slice, or empty.
    where: str
    unit: str
    made_in: Stage
    #: What was tried, rising.
    doses: tuple[float, ...]
    #: One standard deviation in the column's own unit, where doses are counted in such.
    deviation: float
    #: Whether the budget sufficed to find the limit.
    measured: bool
    #: The smallest dose that is noticed; ``None`` where none of those tried is.
    dose: float | None = None
    #: The dose below it, which passes all gates; 0 where there is none.
    below: float = 0.0
    #: A larger dose that passes again.
    lost: float | None = None
    #: Where it is noticed, and by which gates.
    stage: Stage | str = ""
    gates: tuple[str, ...] = ()
    #: The last stage whose gates were asked.
    asked: Stage | str = ""

    @property
    def case(self) -> str:
        """Where it happens, for people."""
        return " where ".join(part for part in (self.column, self.where) if part)

    @property
    def key(self) -> str:
        """That of its error."""
        return f"{self.error} | {self.case}"

    @property
    def before_publication(self) -> bool:
        """Whether the gates on batches notice it."""
        return self.stage == "batch"

    @property
    def noticed(self) -> bool:
        """Whether anything notices it."""
        return self.dose is not None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "before_publication": self.before_publication}


def unmeasured(error: Dosed) -> Limit:
    """An error of which nothing is known yet."""
    return Limit(
        error.name, error.column, str(error.where), error.unit, error.stage, error.doses, error.deviation, False
    )


def limit(error: Dosed, found: Found, noticed: Callable[[int], Noticed], asked: Stage | str) -> Limit:
    """What a search says, in doses."""
    known = replace(unmeasured(error), measured=True, asked=asked)
    if found.noticed is None:
        return known
    by = noticed(found.noticed)
    return replace(
        known,
        dose=error.doses[found.noticed],
        below=error.doses[found.noticed - 1] if found.noticed else 0.0,
        lost=None if found.lost is None else error.doses[found.lost],
        stage=by.stage,
        gates=by.gates,
        asked=by.stage or asked,
    )
