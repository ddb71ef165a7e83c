"""What became of the year: what was promised, and whether it held."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple

from ml_platform.demonstrating.year import Month, Story, Year
from ml_platform.pipeline.approval import standing

#: How far the mean of what was live may lie below that of monthly retraining.
LAG = 0.004


class Promise(NamedTuple):
    """Something that has to hold, what was seen of it, and whether it does."""

    name: str
    seen: str
    kept: bool


@dataclass(frozen=True)
class Outcome:
    """A year that is over."""

    months: tuple[Month, ...]
    promises: tuple[Promise, ...]
    #: When each training was asked for, and why.
    trainings: tuple[tuple[str, str], ...]
    #: When people were told, and what.
    alerts: tuple[tuple[str, str], ...]

    @property
    def kept(self) -> bool:
        """Whether everything held."""
        return all(promise.kept for promise in self.promises)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"promises": [promise._asdict() for promise in self.promises], "kept": self.kept}


def outcome(year: Year, story: Story, months: Sequence[Month]) -> Outcome:
    """What is to be said of a year."""
    trainings, alerts = (
        tuple((day, text) for day, kind, text in year.log if kind == wanted) for wanted in ("retrain", "alert")
    )
    promises = _promises(year, story, months, [text for _, text in alerts])
    return Outcome(tuple(months), tuple(promises), trainings, alerts)


def _promises(year: Year, story: Story, months: Sequence[Month], told: Sequence[str]) -> Iterator[Promise]:
    live, ideal, frozen = (fmean(values) for values in zip(*((m.live, m.ideal, m.frozen) for m in months), strict=True))
    yield Promise(
        f"mean AUC live at least that of a model trained anew each month, but for {LAG}",
        f"{live:.4f} and {ideal:.4f}",
        live >= ideal - LAG,
    )
    if len(months) > 1:
        # In the first month both are trained on the same.
        yield Promise("and above that of the model frozen in June", f"{live:.4f} and {frozen:.4f}", live > frozen)
    answered = sum(month.rows for month in months) + year.users.visits.total() - year.users.failed
    yield Promise("no row is refused", f"{year.users.failed} of {answered:,}", not year.users.failed)
    versions = sorted({version for month in months for version in month.versions})
    ungated = [number for number in versions if not _approved(year, number)]
    seen = f"{ungated or 'none'} of {versions}"
    yield Promise("no version answers that its gates did not approve", seen, not ungated)
    for month, (what, _) in story.deliveries.items():
        said = [text for text in told if f"{month} is refused by" in text]
        yield Promise(f"{month} with {what} is refused and told", said[0] if said else "nobody was told", bool(said))
    if year.bad_build is not None:
        yield Promise("a bad build is sent back", year.bad_build or "it was not", bool(year.bad_build))


def _approved(year: Year, number: int) -> bool:
    registry = year.workspace.registry
    return standing(year.workspace, registry.get(year.context.model.name, number)).status == "approved"
