"""The smallest error that would be noticed: doses of every kind of error, on the declarations as they are.

Batches in memory first, since their gates are cheap. What no gate on batches notices goes through the loop; so do
errors of the training. Then columns in slices. Each part has its share of the time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_folder
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import Stage
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving import breaks, errors, limits
from ml_platform.proving.arrivals import Arrivals
from ml_platform.proving.batches import BatchBreak
from ml_platform.proving.doses import Dosed, Slice
from ml_platform.proving.findings import Finding, Rate, rates
from ml_platform.proving.journal import Journal, OutOfTime
from ml_platform.proving.limits import Limit, Noticed
from ml_platform.proving.newest import Batch, Error
from ml_platform.proving.proof import Proof
from ml_platform.proving.prove import broken_batch, broken_training
from ml_platform.proving.scratch import Judged

#: Doses of what is wrong in the training: each costs a training and an evaluation.
TRAINING = (0.01, 0.05, 0.2, 1.0)
#: Share of the time that is left which the loop may take for what no gate on batches notices, then for trainings.
LATER, TRAININGS = 0.5, 0.4

Tell = Callable[[str, int, int, float], None]


@dataclass
class Report:
    """Everything that was measured."""

    limits: list[Limit] = field(default_factory=list)
    #: Alarms of the gates on clean batches.
    alarms: list[Rate] = field(default_factory=list)
    #: Kinds of errors that this dataset has no place for.
    elsewhere: list[str] = field(default_factory=list)
    #: Seconds that all measurements took, and how many this run made itself.
    seconds: float = 0.0
    made: int = 0


class Power:
    """Detection limits of one model's gates, measured as far as a journal has time."""

    def __init__(self, proof: Proof, journal: Journal, tell: Tell = lambda *_: None, seed: int = breaks.SEED) -> None:
        self.proof, self.journal, self.seed, self._tell = proof, journal, seed, tell
        self._waiting: deque[Callable[[], None]] = deque(
            [*(partial(proof.run_partition, name) for name in proof.clean.partitions), proof.run_model]
        )

    def run(self) -> Report:
        """All parts, in order; what there is no time for is in the report as unmeasured."""
        report = Report()
        report.alarms = self._alarms()
        batch = self.batch()
        small, of_slices = list(errors.small_errors(batch)), list(errors.errors_of_slices(batch))
        named = {error.name for error in (*small, *of_slices)}
        report.elsewhere = [kind.value for kind in Error if kind not in named]
        first = self.on_batches(small)
        self.journal.until(LATER)
        report.alarms += self._later_alarms()
        first = self.in_loop(first, small)
        self.journal.until(TRAININGS)
        training = self.of_training()
        self.journal.until(1)
        second = self.on_batches(of_slices)
        # What time is left goes to the errors that the loop was not asked about.
        first, training, second = self.in_loop(first, small), self.of_training(), self.in_loop(second, of_slices)
        report.limits = [*first, *training, *second]
        report.seconds, report.made = self.journal.spent, self.journal.made
        return report

    def batch(self) -> Batch:
        """The newest batch, in which errors are made."""
        return Batch(self.proof.context, self._frame, self._earlier, self.seed)

    def on_batches(self, cases: Sequence[Dosed]) -> list[Limit]:
        """The limit of each error among the gates on batches; one that changes nothing at any dose is none."""
        return self._part("batches", cases, self._in_memory)

    def in_loop(self, found: list[Limit], cases: Sequence[Dosed]) -> list[Limit]:
        """What no gate on batches notices, among ``found``, goes on to the gates on features and on the model."""
        by_key = {error.key: error for error in cases}
        places = [place for place, one in enumerate(found) if one.measured and not one.noticed and one.asked == "batch"]
        going = list(found)
        for done, place in enumerate(places):
            self._tell("the loop", done, len(places), self.journal.elapsed)
            try:
                going[place] = self._in_loop(by_key[found[place].key], broken_batch, found[place])
            except OutOfTime:
                continue
        return going

    def of_training(self) -> list[Limit]:
        """The limits of what is wrong in the training."""
        measure = lambda error: self._in_loop(error, broken_training, limits.unmeasured(error))  # noqa: E731
        return self._part("trainings", list(self._trainings()), measure)

    @property
    def _frame(self) -> Any:
        return self.proof.clean.frames[self.proof.clean.newest]

    @property
    def _earlier(self) -> list[Any]:
        return [self.proof.clean.frames[name] for name in self.proof.clean.partitions[:-1]]

    @cached_property
    def _arrivals(self) -> Arrivals:
        return self._arriving(self.proof.clean.newest)

    @cached_property
    def _corrections(self) -> Arrivals:
        return self._arriving(self.proof.clean.newest, again=True)

    def _arriving(self, partition: str, again: bool = False) -> Arrivals:
        return Arrivals(self.proof.context, self.proof.clean.frames, partition, self.proof.workspace.now(), again)

    def _alarms(self) -> list[Rate]:
        """What the gates on batches say of each clean one, against those before it."""
        judged: list[Judged] = []
        for place, name in enumerate(self.proof.clean.partitions):
            self._tell("clean batches", place, len(self.proof.clean.partitions), self.journal.elapsed)
            try:
                found = self.journal.measured(f"clean | {name}", lambda name=name: self._clean(name))
            except OutOfTime:
                break
            judged += [Judged("batch", name, Verdict.model_validate(one)) for one in found]
        return rates(judged, self.proof.clean.partitions)

    def _later_alarms(self) -> list[Rate]:
        """What the gates on features say of clean data; none where it did not get through the loop in time."""
        try:
            found = self.journal.measured("clean loop", self._clean_features)
        except OutOfTime:
            return []
        judged = [Judged("features", name, Verdict.model_validate(one)) for name, one in found]
        return rates(judged, self.proof.clean.partitions)

    def _clean_features(self) -> list[tuple[str, dict[str, Any]]]:
        self._clean_loop()
        judged = [one for one in self.proof.clean.judged if one.stage == "features"]
        return [(one.partition, one.verdict.model_dump(mode="json", exclude={"details"})) for one in judged]

    def _clean(self, partition: str) -> list[dict[str, Any]]:
        verdicts = self._arriving(partition).clean.values()
        return [one.model_dump(mode="json", exclude={"details"}) for one in verdicts]

    def _part(self, name: str, cases: Sequence[Dosed], measure: Callable[[Dosed], Limit | None]) -> list[Limit]:
        """The limit of each error; ``None`` of a measure: at no dose it changes anything."""
        found = []
        for place, error in enumerate(cases):
            self._tell(name, place, len(cases), self.journal.elapsed)
            try:
                one = measure(error)
            except OutOfTime:
                one = limits.unmeasured(error)
            found += [one] if one is not None else []
        self._tell(name, len(cases), len(cases), self.journal.elapsed)
        return found

    def _in_memory(self, error: Dosed) -> Limit | None:
        """Searched among the gates on batches alone."""

        def held(place: int) -> bool | None:
            dose = error.doses[place]
            return self.journal.measured(f"{error.key} | {dose:g}", lambda: self._held(error, dose))

        def gates(place: int) -> Noticed:
            dose = error.doses[place]
            found = self.journal.measured(f"gates | {error.key} | {dose:g}", lambda: self._holding(error, dose))
            return Noticed("batch", tuple(found))

        if held(len(error.doses) - 1) is None:
            return None
        found = limits.search(len(error.doses), lambda place: bool(held(place)))
        return limits.limit(error, found, gates, "batch")

    def _held(self, error: Dosed, dose: float) -> bool | None:
        """Whether a gate on batches notices a dose; ``None`` where it changes nothing."""
        frame = self._broken(error, dose)
        if frame.columns == self._frame.columns and frame.equals(self._frame, null_equal=True):
            return None
        return (self._corrections if error.again else self._arrivals).held(frame)

    def _holding(self, error: Dosed, dose: float) -> list[str]:
        arrivals = self._corrections if error.again else self._arrivals
        return [verdict.gate for verdict in arrivals.holding(self._broken(error, dose))]

    def _broken(self, error: Dosed, dose: float) -> Any:
        one = error.at(dose)
        assert isinstance(one, BatchBreak)
        return one.change(self._frame)

    def _in_loop(self, error: Dosed, run: Callable[..., Finding], known: Limit) -> Limit:
        """Searched by the whole loop, from the largest dose down; what the largest does not show is not searched."""

        def judged(place: int) -> dict[str, Any]:
            dose = error.doses[place]
            return self.journal.measured(f"loop | {error.key} | {dose:g}", lambda: self._through(error, dose, run))

        largest = judged(len(error.doses) - 1)
        if not largest["gates"]:
            return replace(known, measured=True, asked=largest["asked"])
        try:
            found = limits.search(len(error.doses), lambda place: bool(judged(place)["gates"]), largest_only=True)
        except OutOfTime:
            # It is noticed at the largest dose; how much less would do is not known.
            at = len(error.doses) - 1
            by = _noticed(largest)
            return replace(known, measured=False, dose=error.doses[at], stage=by.stage, gates=by.gates, asked=by.stage)
        return limits.limit(error, found, lambda place: _noticed(judged(place)), largest["asked"])

    def _through(self, error: Dosed, dose: float, run: Callable[..., Finding]) -> dict[str, Any]:
        self._clean_loop()
        finding = run(self.proof, error.at(dose))
        gates = [one.gate for one in finding.caught] or ([finding.by] if finding.by else [])
        asked = list(finding.asked)[-1:] or [""]
        stage: Stage | str = finding.caught[0].stage if finding.caught else asked[0] if gates else ""
        return {"stage": stage, "gates": gates, "asked": asked[0], "crashed": finding.crashed}

    def _clean_loop(self) -> None:
        """Clean data through the loop, once, step by step: what errors are put into. Goes on where time ran out."""
        steps = len(self.proof.clean.partitions) + 1
        while self._waiting:
            self.journal.check()
            self._tell("clean data through the loop", steps - len(self._waiting), steps, self.journal.elapsed)
            self._waiting[0]()
            self._waiting.popleft()

    def _trainings(self) -> Iterable[Dosed]:
        """Errors of the training; the holdout is that of the clean split, which is made when one is measured."""

        def at(name: str, dose: float) -> breaks.CodeBreak:
            found = breaks.training_breaks(self.proof.context, dose, self.proof.split.holdout)
            return next(one for one in found if one.name == name)

        for name in breaks.TRAINING:
            yield Dosed(name, "", Slice(), "rows", TRAINING, lambda dose, name=name: at(name, dose), stage="evaluation")


def journal_file(proof: Proof, workspace: Workspace, seed: int = breaks.SEED) -> Path:
    """Where the measurements of exactly this are: declarations, code, batches, seed."""
    context, partitions = proof.context, proof.clean.partitions
    there = workspace.source(context.dataset).partitions()
    about = {
        "declarations": [
            spec.model_dump(mode="json") for spec in (context.dataset, context.feature_set, context.model)
        ],
        "code": _code(context),
        "batches": {name: there.get(name, "") for name in partitions},
        "seed": seed,
    }
    key = sha256_bytes(canonical_json(about))[:12]
    return workspace.settings.local / "power" / f"{context.model.name}-{key}.jsonl"


def _code(context: ModelContext) -> list[str]:
    """The user's code that gates run, and the platform's that judges."""
    from ml_platform.foundation.user_code import user_code_version

    here = Path(__file__).parents[1]
    own = [sha256_folder(here / room) for room in ("gates", "validation", "proving", "evaluation", "training")]
    return [user_code_version(context.dataset.schema_), context.feature_set.code_version(), *own]


def _noticed(result: dict[str, Any]) -> Noticed:
    return Noticed(result["stage"], tuple(result["gates"]))
