"""The year as it is lived: the clock moves, months arrive, users ask. What follows, sensors and supervisor do."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ml_platform.declarations.context import ModelContext
from ml_platform.demonstrating import comparison, world
from ml_platform.demonstrating.project import MODEL
from ml_platform.demonstrating.users import Users
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.ledger.kinds import ALERT, PROMOTION, REJECTION, RETRAIN, ROLLBACK
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

#: Months that have been when the demonstration begins, and all there are.
BEFORE, MONTHS = 6, tuple(f"2013-{month:02d}-01" for month in range(1, 13))
#: The hour at which a day's rows are asked about, and batches have arrived.
HOUR = 6
#: Requests of one row at each look, and while a candidate gets a share of them.
FEW, MANY = 2, 40
#: Entries of the ledger that are told, by kind: what is said of each.
TOLD: dict[str, Callable[[Mapping[str, Any]], str]] = {
    ALERT: lambda body: f"{'ALERT' if body['open'] else 'over'}: {body['said']}",
    RETRAIN: lambda body: f"training of {body['because']}",
    REJECTION: lambda body: f"refused: {body['because']}",
    PROMOTION: lambda body: f"version {body['version']} answers",
    ROLLBACK: lambda body: f"{_what(body)} back: {body['because']}",
}


class Settle(Protocol):
    """Waits until nothing is left to do after a moment (seconds of the epoch), or until there is ``enough``."""

    def __call__(self, since: float, meanwhile: Callable[[], object], *, enough: Callable[[], bool] = ...) -> object:
        """Call ``meanwhile`` again and again while it waits."""
        ...


@dataclass(frozen=True)
class Story:
    """What happens in the year. Months are named by their first day."""

    #: Months that are lived through.
    months: tuple[str, ...] = MONTHS[BEFORE:]
    #: Days from one look at the clock to the next: outcomes of days arrive, then users ask about so many.
    days: int = 7
    #: What is wrong with a month when it arrives, and the days until it comes as it should; 0: never.
    deliveries: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    #: What somebody does in the course of a month, on the second look.
    acts: "Mapping[str, Callable[[Year], object]]" = field(default_factory=dict)


def story(months: int) -> Story:
    """That of the demonstration, so many months long: a broken batch first, then one with other outcomes; a bad build
    in the last."""
    lived = MONTHS[BEFORE : BEFORE + months]
    arriving = {lived[0]: (world.TWICE, 1), **{month: (world.LATER, 2) for month in lived[1:2]}}
    return Story(lived, deliveries=arriving, acts={lived[-1]: Year.release_bad_build})


@dataclass
class Month:
    """One month, as it went."""

    name: str
    #: AUC of what users were told; of a model trained anew before the month, and of the one frozen in June, from the
    #: same histories; and of the former from those of each day.
    live: float
    ideal: float
    frozen: float
    fresh: float
    rows: int
    refused: int
    stale: int
    #: Rows by version.
    versions: dict[int, int]

    @property
    def begin(self) -> date:
        """Its first day."""
        return date.fromisoformat(self.name)


class Year:
    """An installation through its year; ``told`` takes lines for people."""

    settle: Settle

    def __init__(
        self,
        home: Path,
        workspace: Workspace,
        context: ModelContext,
        told: Callable[[str], object],
    ) -> None:
        self.home, self.workspace, self.context = home, workspace, context
        self._told = told
        self.users = Users(context, self._url, self.rows)
        self._raw: dict[str, pl.DataFrame] = {}
        self._happened: dict[str, str] = {}
        #: How a bad build was sent back; empty where it was not, None where none went out.
        self.bad_build: str | None = None
        #: What was told of the ledger: day, kind of the entry, text.
        self.log: list[tuple[str, str, str]] = []
        self._seen, self._today, self._looks = 0, "", list[date]()
        self._frozen: Any = None

    def rows(self, month: str) -> "pl.DataFrame":
        """The rows of a month as they happened."""
        from ml_platform.foundation.objects import load_object

        if month not in self._raw:
            self._raw[month] = load_object(world.EXAMPLE, "source").read(month)
        return self._raw[month]

    def live(self, story: Story) -> Iterator[Month]:
        """Each month of the story, once it is over and its batch has arrived."""
        first = date.fromisoformat(story.months[0])
        self._at(first, "the months before have arrived")
        for month in story.months:
            day, end = date.fromisoformat(month), _after(month)
            self._looks = []
            while day < end:
                self._looks.append(day)
                if len(self._looks) > 1:
                    self._at(day)
                if len(self._looks) == 2 and month in story.acts:
                    story.acts[month](self)
                after = min(end, day + timedelta(days=story.days))
                after = end if (end - after).days <= story.days // 2 else after
                self.users.ask(day, after)
                day = after
            self._arrives(month, story)
            yield self._over(month)

    def _arrives(self, month: str, story: Story) -> None:
        """The batch of a month, on the first day of the next."""
        end, (what, days) = _after(month), story.deliveries.get(month, ("", 0))
        if not what:
            self._at(end, f"{month} has arrived")
            return
        self._happened[month] = what
        world.deliver(self.home, self._happened)
        self._at(end, f"{month} has arrived: {what}")
        if days:
            del self._happened[month]
            world.deliver(self.home, self._happened)
            self._at(end + timedelta(days=days), f"{month} comes again as it should be")

    def _at(self, day: date, what: str = "") -> None:
        """It is that day, and what follows from it has been done."""
        now = datetime(day.year, day.month, day.day, HOUR)
        since, self._today = time.time(), day.isoformat()
        write_atomic(self.home / world.CLOCK, now.isoformat())
        self._told(f"{day:%d %b}  {what or 'outcomes of the days before have arrived'}")
        # In the course of a month it goes on as soon as services know of them.
        yesterday = (day - timedelta(days=1)).isoformat()
        self._settled(since, (lambda: False) if what else lambda: self.users.known() == yesterday)

    def deliver(self, month: str, what: str) -> None:
        """A month arrives again, see :mod:`~ml_platform.demonstrating.world`."""
        self._happened[month] = what
        with self.acting(f"{month} arrives again: {what}"):
            world.deliver(self.home, self._happened)

    @contextmanager
    def acting(self, what: str) -> Generator[float]:
        """Do something, and wait for what follows from it; gives the moment, seconds of the epoch."""
        self._told(f"        {what}")
        since = time.time()
        yield since
        self._settled(since)

    def release_bad_build(self) -> None:
        """The version that answers is built anew with an error that no gate saw, and goes out as any other."""
        from ml_platform.pipeline.release import backend_in
        from ml_platform.proving import builds
        from ml_platform.rollout import changes

        live, plan = self.workspace.rollouts.load(MODEL).stable, self.context.model.rollout
        assert live is not None
        said = f"a build of version {live.version} that errs on 30 % of the requests"
        place = builds.copied(builds.built(live, self.workspace.settings.local, live.version), "bad build")
        sha256 = builds.with_fault(place, {"fault": "fails", "number": 0.3})
        backend = backend_in(place, live.version, "bad build", sha256, live.snapshot)
        with self.acting(f"{said} goes out") as since:
            self.workspace.rollouts.update(
                MODEL,
                lambda record: changes.started(
                    record,
                    backend,
                    by="demo",
                    why=said,
                    strategy=plan.steps,
                    rules=plan.rules,
                    replicas=plan.replicas,
                    watch=plan.watch,
                ),
            )
        self.bad_build = ""
        for change in self.workspace.rollouts.history(MODEL):
            if change.action in ("roll_back", "return") and change.why and change.at > _iso(since):
                self.bad_build = f"by {change.who}: {change.why}"
                self._told(f"        sent back {self.bad_build}")

    def _settled(self, since: float, enough: Callable[[], bool] = lambda: False) -> None:
        self.settle(since, self._meanwhile, enough=enough)
        self._tell()

    def _meanwhile(self) -> None:
        """Users ask; what has been decided is told."""
        self.users.visit(MANY if self.rolling else FEW)
        self._tell()

    @property
    def rolling(self) -> bool:
        """Whether a candidate is on its way."""
        from ml_platform.foundation.errors import MissingReference

        try:
            return self.workspace.rollouts.load(MODEL).candidate is not None
        except MissingReference:
            return False

    def _tell(self) -> None:
        entries = self.workspace.ledger.log()
        for entry in entries[self._seen :]:
            if entry.kind in TOLD:
                text = TOLD[entry.kind](entry.body)
                self.log.append((self._today, entry.kind, text))
                self._told(f"        {text}")
        self._seen = len(entries)

    def _url(self) -> str:
        from ml_platform.rollout.processes import read_state

        url = read_state(self.workspace.settings).url(MODEL)
        if url is None:
            raise PlatformError(f"{MODEL}: no version answers; see ml-platform status there")
        return url

    def _over(self, month: str) -> Month:
        """A month beside what it is compared with."""
        place, answers = MONTHS.index(month), self.users.answers[month]
        raw = {name: self.rows(name) for name in MONTHS[: place + 1]}
        features = comparison.features_of(self.context, raw)
        before = [features[name] for name in MONTHS[:place]]
        if self._frozen is None:
            self._frozen = comparison.trained(self.context, before[:BEFORE])
        ideal = comparison.trained(self.context, before) if place > BEFORE else self._frozen
        asked = comparison.features_at(self.context, raw, month, self._looks)
        return Month(
            month,
            answers.measured(self.context),
            comparison.metric(self.context, ideal, asked),
            comparison.metric(self.context, self._frozen, asked),
            comparison.metric(self.context, ideal, features[month]),
            answers.answered,
            answers.refused.total(),
            answers.stale,
            dict(answers.versions),
        )


def _after(month: str) -> date:
    return (date.fromisoformat(month) + timedelta(days=32)).replace(day=1)


def _iso(moment: float) -> str:
    """Seconds of the epoch as the rollout record has times."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _what(body: Mapping[str, Any]) -> str:
    """What an entry ``rollback`` is of: a version, or a batch that a person took out."""
    return f"version {body['version']} was sent" if "version" in body else "a batch was taken"
