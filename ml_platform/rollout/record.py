"""The rollout record: which version of a model answers. The only truth that the supervisor follows.

Format 3, whose paths are relative. What earlier releases wrote (formats 1 and 2) is read by :func:`upgraded`. Changes
are pure functions in :mod:`ml_platform.rollout.changes`; :mod:`ml_platform.rollout.records` keeps records and, beside
them, their history.
"""

from collections.abc import Mapping
from datetime import datetime
from math import sqrt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ml_platform.foundation.files import below_local
from ml_platform.rollout.counts import Counted

#: Header with which a request chooses a version of those that run.
CHOOSE = "x-ml-version"
#: What a change did. ``deploy``: of an earlier release, which let a version answer at once.
Action = Literal[
    "start", "step", "promote", "roll_back", "return", "refresh", "pause", "resume", "withdraw", "address", "deploy"
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Backend(_Strict):
    """A packaged service that may answer."""

    version: int
    #: ``name:version`` of the Bento, and the identity of its content.
    tag: str
    sha256: str
    #: Folder of the package, below ``.local``; what earlier releases wrote is turned into that, in histories too.
    path: Annotated[str, AfterValidator(below_local)]
    #: Port of its process; None lets the supervisor take a free one of the settings' range.
    port: int | None = None
    #: sha256 of the history that it answers from; None: the one in the package.
    snapshot: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What a process of it is: package and history."""
        return self.sha256, self.snapshot or ""

    @property
    def said(self) -> str:
        """Version, package and history in a few characters."""
        return (
            f"version {self.version} ({self.sha256[:12]}{f', history {self.snapshot[:12]}' if self.snapshot else ''})"
        )


class Step(_Strict):
    """A part of a rollout, and what it takes to leave it."""

    #: Percent of the requests that the candidate answers.
    weight: int = Field(default=0, ge=0, le=100)
    #: Percent of the requests that the stable version answers and the candidate gets a copy of.
    shadow: int = Field(default=0, ge=0, le=100)
    #: Requests that the candidate must have got.
    requests: int = Field(default=0, ge=0)
    #: Seconds that must have passed.
    seconds: float = Field(default=0, ge=0, allow_inf_nan=False)


#: What every rollout ends with: all requests.
LAST = Step(weight=100)

#: Two equal distributions differ by more than this, in units of the standard error, in one look of a thousand
#: (Kolmogorov-Smirnov): there is a look each second.
CHANCE = 1.95


def by_chance(*counts: int) -> float:
    """The Kolmogorov-Smirnov distance that chance explains between equal distributions of so many values each."""
    return CHANCE * sqrt(sum(1 / count for count in counts))


class Rules(_Strict):
    """What sends a candidate back, decided in one poll; None: not looked at. Shares are of the candidate's requests."""

    #: Requests from which on a rule says anything.
    requests: int = Field(default=50, ge=1)
    #: Share of failed answers above the stable version's; those that a retry masked count.
    errors: float | None = Field(default=0.02, ge=0, le=1)
    #: Mean latency, in multiples of the stable version's.
    latency: float | None = Field(default=3.0, gt=1)
    #: Share of refused requests (4xx) above the stable version's.
    refused: float | None = Field(default=0.05, ge=0, le=1)
    #: Largest difference between the shares of predictions up to any bound (Kolmogorov-Smirnov), beyond chance.
    predictions: float | None = Field(default=0.2, ge=0, lt=1)
    #: Share of rows whose history is older than declared, above the stable version's.
    stale: float | None = Field(default=0.05, ge=0, le=1)


class Plan(_Strict):
    """How a model's versions take over, as it is declared."""

    #: Processes of each version.
    replicas: int = Field(default=1, ge=1, le=16)
    #: Steps before a version gets all requests; empty: it does once it answers.
    steps: tuple[Step, ...] = ()
    #: What sends a candidate back by itself.
    rules: Rules = Rules()
    #: Seconds after it was promoted for which the rules go on, and the version before is kept running.
    watch: float = Field(default=300, ge=0, allow_inf_nan=False)

    @property
    def waits(self) -> bool:
        """Whether a rollout takes requests or time, more than a new version needs to answer."""
        return any(step.requests or step.seconds for step in self.steps)


class Change(_Strict):
    """One change of the record."""

    revision: int
    #: ISO time.
    at: str
    who: str
    why: str
    action: Action
    #: Run that made it; empty when a person or the supervisor did.
    run_id: str = ""
    #: Stable version before and after.
    before: int | None
    after: int | None
    #: What the record named from then on; None also where an earlier release made the change.
    stable: Backend | None = None
    candidate: Backend | None = None
    weight: int = 0
    shadow: int = 0


class RolloutRecord(_Strict):
    """Versions of one model and their shares of traffic. ``weight`` and ``shadow`` are percent of the candidate."""

    format: Literal[3] = 3
    model: str
    #: Counts saved changes; saving compares it, so that none is overwritten unseen.
    revision: int = 0
    #: Where the model is asked, whatever version answers: given once, never changed.
    port: int | None = None
    stable: Backend | None = None
    candidate: Backend | None = None
    #: The package that was stable before.
    previous: Backend | None = None
    #: Processes of each backend.
    replicas: int = Field(default=1, ge=1, le=16)
    weight: int = Field(default=0, ge=0, le=100)
    shadow: int = Field(default=0, ge=0, le=100)
    #: Steps that the candidate has begun; 0: it has not answered yet.
    step: int = Field(default=0, ge=0)
    #: When the present step started, ISO time.
    started: str | None = None
    #: Whether a person holds the rollout where it is.
    paused: bool = False
    #: Steps before the last one; empty: the candidate gets all requests once it answers (blue-green).
    strategy: tuple[Step, ...] = ()
    rules: Rules = Rules()
    #: Seconds for which a promoted version is watched.
    watch: float = Field(default=0, ge=0, allow_inf_nan=False)
    #: ISO time until which the stable version is watched and the one before is kept running, and what that one had
    #: done when it was replaced; None where it is not.
    watched: str | None = None
    baseline: Counted | None = None
    #: The change that made this revision.
    change: Change | None = None

    @model_validator(mode="after")
    def _shares_need_candidate(self) -> "RolloutRecord":
        if self.candidate is None and (self.weight or self.shadow):
            raise ValueError("weight and shadow need a candidate")
        return self

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The packages that must run: stable, then candidate."""
        return tuple(backend for backend in (self.stable, self.candidate) if backend is not None)

    def kept(self, now: datetime) -> Backend | None:
        """The version before, while it is kept running behind the stable one, which is watched."""
        return self.previous if self.watched is not None and now < datetime.fromisoformat(self.watched) else None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of the rollout; the last one is all requests."""
        return (*self.strategy, LAST)


def upgraded(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any] | None]:
    """A record of format 1 or 2 as one of format 3, and the history that one of format 1 held itself.

    Nobody wrote rules, shares or candidates in format 1; what is new has its default. Format 2 named packages by
    absolute paths.
    """
    if value.get("format") == 2:
        return {**value, "format": 3}, None
    record = {name: item for name, item in value.items() if name not in {"history", "rules"}}
    history = list(value.get("history") or [])
    return {**record, "format": 3, "change": history[-1] if history else None}, history
