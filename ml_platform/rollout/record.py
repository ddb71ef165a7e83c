"""The rollout record: which version of a model answers. The only truth that the supervisor follows.

Format 4, with gates on copies of requests. What earlier releases wrote (formats 1 to 3) is read by :func:`upgraded`.
Changes are pure functions in :mod:`ml_platform.rollout.changes`; :mod:`ml_platform.rollout.records` keeps records and,
beside them, their history.
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
    #: Share of refused requests (4xx) above the stable version's, beyond chance.
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


#: What a gate on copies of requests can compare.
COMPARED = ("outputs", "decisions", "latency")


class ShadowGate(_Strict):
    """A gate of the kind ``shadow``, with which a rollout began: it decides, whatever is declared meanwhile."""

    #: The gate as declared, as plain data, and the hash of what else decides it.
    declared: dict[str, Any]
    context: str = ""

    @property
    def name(self) -> str:
        """Name of the gate."""
        return self.declared["name"]

    @property
    def metric(self) -> str:
        """What is compared: ``outputs``, ``decisions`` or ``latency``."""
        return self.declared["metric"]

    @property
    def max(self) -> float:
        """The largest difference that is accepted."""
        return self.declared["max"]

    @property
    def by(self) -> tuple[str, ...]:
        """Columns whose values make the groups of rows that are alike; empty: rows of one request are."""
        return tuple(self.declared.get("by") or ())

    @property
    def min_support(self) -> int:
        """Rows that it takes to say anything."""
        return self.declared.get("min_support", 0)

    @property
    def blocking(self) -> bool:
        """Whether a candidate waits for its pass, and goes back where it fails."""
        return self.declared.get("severity", "block") == "block"


class Judged(_Strict):
    """What copies of requests say of one gate."""

    gate: ShadowGate
    #: ``open``: there is too little to tell yet.
    status: Literal["passed", "failed", "open"]
    #: One sentence for people.
    reason: str
    #: Mean difference and its 95 % interval, in the unit of the metric; None where there are too few groups.
    mean: float | None = None
    lower: float | None = None
    upper: float | None = None
    #: Rows that both versions answered, of so many requests, in so many groups.
    rows: int = 0
    requests: int = 0
    groups: int = 0

    @property
    def holds(self) -> bool:
        """Whether the candidate must not go on."""
        return self.gate.blocking and self.status != "passed"


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
    #: What copies of requests said, where that decided.
    judged: tuple[Judged, ...] = ()


class RolloutRecord(_Strict):
    """Versions of one model and their shares of traffic. ``weight`` and ``shadow`` are percent of the candidate."""

    format: Literal[4] = 4
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
    #: What copies of requests must show before the candidate answers any.
    gates: tuple[ShadowGate, ...] = ()
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

    @model_validator(mode="after")
    def _is_what_its_change_made(self) -> "RolloutRecord":
        """Whoever exchanges versions in the file alone has a record that contradicts itself."""
        made = self.change
        # Earlier releases kept no packages in their changes.
        if made is None or made.stable is None:
            return self
        if (made.stable, made.candidate) != (self.stable, self.candidate):
            raise ValueError("stable and candidate are not what its last change made them")
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

    @property
    def compares(self) -> bool:
        """Whether the present step is the last one before the candidate answers, and ends with gates on copies."""
        if not self.gates or not 0 < self.step < len(self.steps):
            return False
        present, following = self.steps[self.step - 1], self.steps[self.step]
        # Where the present step makes no copies there is nothing to compare, and that is no pass.
        return not present.weight and following.weight > 0


def upgraded(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any] | None]:
    """A record of formats 1 to 3 as one of format 4, and the history that one of format 1 held itself.

    Nobody wrote rules, shares or candidates in format 1; what is new has its default. Format 2 named packages by
    absolute paths; before format 4 no gate was on copies.
    """
    if value.get("format") in (2, 3):
        return {**value, "format": 4}, None
    record = {name: item for name, item in value.items() if name not in {"history", "rules"}}
    history = list(value.get("history") or [])
    return {**record, "format": 4, "change": history[-1] if history else None}, history
