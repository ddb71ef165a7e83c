"""Rollback proved: a live candidate breaks under load, in a scratch folder, by real processes behind a real address.

Whoever decides is the supervisor alone: it has no Dagster, no registry, no ledger and no store here.
"""

import json
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline.release import backend_in
from ml_platform.proving import builds
from ml_platform.proving.scratch import ACTOR, scratch_settings
from ml_platform.proving.users import load
from ml_platform.rollout import changes, control
from ml_platform.rollout.factory import open_records
from ml_platform.rollout.record import Backend, Change, Plan, Step
from ml_platform.serving import bundle, snapshots
from ml_platform.serving.client import Client

#: Most requests and seconds that a declared step asks for here, and seconds after which a rollout is given up.
REQUESTS, SECONDS, PATIENCE = 200, 1.0, 120.0
#: Answers from which it is known how long one usually takes.
USUAL = 200
#: Seconds for which a promoted version is watched here, at least: a silent one is seen after 3.
WATCHED = 8.0
#: Ports of the scratch processes.
PORTS = 60
#: What a sound candidate is called, which must not be sent back.
SOUND = "none: a sound version"


class Broken(NamedTuple):
    """What is wrong with a candidate, and with which words the rule may begin that sends it back."""

    name: str
    rules: tuple[str, ...]
    #: Options of the faulty entry module; none where the package is another one.
    options: Mapping[str, Any] = {}


@dataclass
class Proved:
    """What became of one candidate."""

    name: str
    #: Whether it was promoted, or went back; empty where neither came in time.
    outcome: str
    #: Why, as the rollout's history has it.
    why: str
    #: Whether that is what should become of it.
    right: bool
    #: Requests of users and seconds, from its first step (or its start, where it never began one) to the decision.
    requests: int
    seconds: float
    #: Answers that users saw fail, by what they saw instead.
    failed: dict[str, int] = field(default_factory=dict)
    #: Good answers that were the candidate's.
    by_candidate: int = 0
    #: The longest time that a user waited, seconds.
    longest: float = 0.0


def breaks_of(latency: float, spread: float | None) -> list[Broken]:
    """Every break; ``latency`` (seconds) and ``spread`` are those of the sound version's answers, None where they are
    probabilities."""
    far = 0.5 if spread is None else max(4 * spread, 1.0)
    return [
        Broken("errs on 30 %", ("errors",), {"fault": "fails", "number": 0.3}),
        Broken(
            "10 times slower",
            ("latency", "silent", "runs but has not answered"),
            {"fault": "slow", "number": 9 * latency},
        ),
        Broken("shifted predictions", ("predictions",), {"fault": "shifted", "number": far}),
        Broken("hangs", ("silent", "runs but has not answered", "errors"), {"fault": "hangs", "number": 20}),
        Broken("stale history", ("stale", "refused")),
        Broken("silent", ("silent",), {"fault": "silent", "number": 20}),
        Broken("dies", ("ended",), {"fault": "dies", "number": 20}),
        Broken("never ready", ("not ready",), {"fault": "unready"}),
    ]


def plan_of(declared: Plan) -> Plan:
    """The declared plan with steps that a proof can wait for.

    Where nothing is declared that could see a bad version, neither steps nor a watch, half of the requests.
    """
    unseen = () if declared.watch else (Step(weight=50, requests=4 * declared.rules.requests),)
    steps = declared.steps or unseen
    bounded = [
        step.model_copy(
            update={
                # A step that asks for any request asks here for as many as the rules need to speak.
                "requests": min(step.requests, max(REQUESTS, 2 * declared.rules.requests)),
                "seconds": min(step.seconds, SECONDS),
            }
        )
        for step in steps
    ]
    return declared.model_copy(update={"steps": tuple(bounded)})


class RolloutProof:
    """The version that answers for a model, in a scratch folder, and candidates of it that are broken.

    ``rows`` are good rows of a request. Raises PlatformError where no version answers in the project.
    """

    def __init__(self, settings: Settings, model: str, plan: Plan, rows: Sequence[Mapping[str, Any]], folder: Path):
        stable = open_records(settings).load(model).stable
        if stable is None:
            raise PlatformError(f"{model}: no version answers; deploy one first")
        self.model, self.plan, self.folder, self.live = model, plan_of(plan), folder, stable
        first = _free_ports()
        scratch = {"prediction_log": "", "service_rate": 0.0, "ports": f"{first}-{first + PORTS - 1}"}
        self.settings = scratch_settings(settings, folder / "local").model_copy(update=scratch)
        self.records = open_records(self.settings)
        self.bodies = [json.dumps({"rows": [row]}).encode() for row in rows]
        if stable.snapshot:
            kept = snapshots.path(self.settings.local, stable.snapshot)
            kept.parent.mkdir(parents=True)
            shutil.copyfile(snapshots.path(settings.local, stable.snapshot), kept)
        # Packages are named as they lie below the scratch folder, as those of a project below its own.
        shutil.copytree(settings.local / stable.path, self.settings.local / stable.path)
        self.config, _ = bundle.read(self.settings.local / stable.path / bundle.SOURCE / bundle.FOLDER)
        self.url = ""

    def run(self, only: Sequence[str] = (), told: Callable[[Proved], object] = lambda _: None) -> list[Proved]:
        """Every break after the other, those named in ``only`` where any are; then a sound candidate."""
        stable = self.live.model_copy(update={"port": None})
        try:
            control.ensure_running(self.settings)
            self._start(stable, Plan(replicas=self.plan.replicas, watch=0), "the version that answers")
            self.url = control.wait_live(self.settings, self.model, stable.sha256)
            sound = builds.built(stable, self.settings.local, self.config.version + 1)
            breaks = breaks_of(*self._usual())
            found = []
            for one in [*breaks, Broken(SOUND, ())]:
                if (only and one.name not in only) or (backend := self._broken(one, sound)) is None:
                    continue
                found.append(self._candidate(one, backend))
                told(found[-1])
            return found
        finally:
            control.stop_all(self.settings)

    def _broken(self, one: Broken, sound: Path) -> Backend | None:
        """The package with its fault; None where a model without history cannot have it."""
        place = builds.copied(sound, one.name)
        files, snapshot, changed = place / bundle.SOURCE / bundle.FOLDER, self.live.snapshot, dict[str, str]()
        if not one.options and one.name != SOUND:
            if self.config.history_until is None or not self._aged(files / bundle.HISTORY):
                return None
            changed, snapshot = {"history_sha256": sha256_file(files / bundle.HISTORY)}, None
        sha256 = builds.with_fault(place, one.options, **changed)
        return backend_in(place, self.config.version + 1, one.name, sha256, snapshot)

    def _aged(self, file: Path) -> bool:
        """Leave the older half of a history's days; False where there are too few."""
        from ml_platform.features.contract import load_function
        from ml_platform.features.history import History, saved

        function = load_function(self.config.function)
        history = History.load(function, file)
        days = history.tables[0]["day"].unique().sort()
        if len(days) < 4 or history.until is None:
            return False
        last = days[len(days) // 2 - 1]
        older = History.from_tables(
            function, [history.tables[0].filter(history.tables[0]["day"] <= last)], history.lag_days
        )
        older.as_refreshed(history.refreshed).save(file, saved(file).get("code", ""))
        return True

    def _usual(self) -> tuple[float, float | None]:
        """Mean time to an answer of the sound version under the load of a proof, seconds, and how far the values that
        it predicts spread."""
        from ml_platform.models.task import task_of

        task = task_of(self.config.task, self.config.classes, self.config.decision_threshold)
        given = []
        with Client(self.url) as client:
            for body in self.bodies:
                status, content = client.send("POST", "/predict", body)
                if status != 200:
                    raise PlatformError(
                        f"{self.model}: the version that answers refuses a row of its data: {content!r}"
                    )
                given += json.loads(content)[task.numbers]
        # Beside each other, as users ask a candidate: what one of them waits for alone says little of that.
        with load(self.url, self.bodies) as users:
            deadline = time.monotonic() + PATIENCE
            while users.asked < USUAL and time.monotonic() < deadline:
                time.sleep(0.02)
        took = users.waited / max(1, users.asked)
        return took, statistics.pstdev(given) if task.output == "value" else None

    def _start(self, backend: Backend, plan: Plan, why: str) -> None:
        self.records.update(
            self.model,
            lambda record: changes.started(
                record,
                backend,
                by=ACTOR,
                why=why,
                strategy=plan.steps,
                rules=plan.rules,
                replicas=plan.replicas,
                watch=plan.watch,
            ),
        )

    def _candidate(self, one: Broken, backend: Backend) -> Proved:
        with load(self.url, self.bodies) as users:
            self._start(backend, self.plan, one.name)
            first, asked = self.records.history(self.model)[-1].revision, users.asked
            begun, made, decided = 0, self.records.history(self.model)[-1:], None
            deadline = time.monotonic() + PATIENCE + self.settings.service_ready_seconds
            while time.monotonic() < deadline:
                made = self.records.history(self.model, first - 1)
                if begun == 0 and (began := next((change for change in made if change.action == "step"), None)):
                    begun, asked = began.revision, users.asked
                decided = next((change for change in made if change.action in ("roll_back", "return")), None)
                if decided or (made[-1].action == "promote" and self._watched(made[-1], users.asked - asked)):
                    break
                time.sleep(0.02)
            requests = users.asked - asked
            if decided and decided.action == "return":
                control.wait_live(self.settings, self.model, self.live.sha256)
        began = next((change for change in made if change.revision == begun), made[0])
        ended = decided or made[-1]
        if decided is None:
            self._restore()
        outcome = "rolled back" if decided else "promoted" if ended.action == "promote" else ""
        return Proved(
            one.name,
            outcome,
            ended.why,
            bool(decided) and ended.why.startswith(one.rules) if one.rules else outcome == "promoted",
            requests,
            _seconds(began, ended),
            {seen: times for seen, times in users.got.items() if not seen.startswith("version ")},
            users.got[f"version {backend.version}"],
            users.longest,
        )

    def _watched(self, promoted: Change, requests: int) -> bool:
        """Whether the watch of a promoted version would have seen what is wrong with it."""
        enough = requests >= 4 * self.plan.rules.requests and _age(promoted) > WATCHED
        return enough or not self.plan.watch

    def _restore(self) -> None:
        """The version that answered before answers again: what was promoted, or is a candidate still, is gone."""
        stable = self.live.model_copy(update={"port": None})
        self.records.update(self.model, lambda record: changes.returned(record, stable, by=ACTOR, why="the next break"))
        control.wait_live(self.settings, self.model, stable.sha256)


def _age(change: Change) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(change.at)).total_seconds()


def _seconds(one: Change, other: Change) -> float:
    return (datetime.fromisoformat(other.at) - datetime.fromisoformat(one.at)).total_seconds()


def _free_ports() -> int:
    """The first of a range that the system gives to nobody at the moment; each is looked at again when it is taken."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return min(found.getsockname()[1], 65535 - PORTS)
