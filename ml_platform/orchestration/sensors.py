"""Sensors: one per kind, over all datasets and models, on by default. They decide from persisted state.

What a tick found is its skip reason or, where it requests runs, in its log and in the tag ``ml_platform/why`` of each
run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.reading import one_line
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import get_settings
from ml_platform.ledger.chain import Broken
from ml_platform.live.retraining import ATTEMPTS
from ml_platform.orchestration.lineage import FINGERPRINT
from ml_platform.orchestration.runs import BUSY, RANGE_END, RANGE_START, attempts, end_dead_runs, under_way
from ml_platform.pipeline import alerts, automation, data, retraining, rollout
from ml_platform.pipeline.backlog import Pending, pending_partitions
from ml_platform.pipeline.workspace import Workspace

__all__ = ["ATTEMPTS", "BUSY", "RANGE_END", "RANGE_START", "drift_sensor", "new_data_sensor"]

#: Tag of a training with what it was requested for: model and hash of the split.
REASON = "ml_platform/requested_for"
#: Tag of a training that a person wanted: model and number of the order in the ledger.
ORDER = "ml_platform/ordered"
#: Tags of an ingestion, one for each partition: what was wanted of it.
WANTED = "ml_platform/wanted."
#: Tag that explains a requested run to people.
WHY = "ml_platform/why"
#: Partitions in one requested run.
LARGEST_RANGE = 60


@dataclass
class Tick:
    """What a tick found: runs to request, and a sentence about everything it looked at."""

    context: dg.SensorEvaluationContext
    catalogue: Catalogue
    workspace: Workspace = field(default_factory=Workspace)
    requests: list[dg.RunRequest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Datasets and models that were looked at, and what could not be read of them.
    looked: list[str] = field(default_factory=list)
    needs: list[alerts.Alert] = field(default_factory=list)

    @property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance."""
        return self.context.instance

    @cached_property
    def held(self) -> dict[str, str]:
        """Datasets and models that people paused, with who. Raises SettingsMistake for a name that is not declared."""
        return automation.paused(self.workspace, self.catalogue)

    def paused(self, name: str) -> bool:
        """Whether this dataset or model is to be left alone."""
        if name in self.held:
            self.notes.append(f"{name}: {self.held[name]}")
        return name in self.held

    def working(self, owner: str, job: str, what: str) -> str:
        """Which run works on the dataset or model; empty where none does."""
        run = under_way(self.instance, owner, job)
        return f"{what} {run[:8]} is under way" if run else ""

    def busy(self, owner: str, job: str, what: str) -> bool:
        """Whether a run works on the dataset or model."""
        if said := self.working(owner, job, what):
            self.notes.append(f"{owner}: {said}")
        return bool(said)

    def done(self, tag: str, reason: str) -> bool:
        """Whether there was a run for a reason, the value of its tag, and the last one did not fail."""
        runs = self.instance.get_runs(dg.RunsFilter(tags={tag: reason}), limit=1)
        return bool(runs) and runs[0].status not in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)

    def ask(self, name: str, job: str, reason: tuple[str, str], why: str, what: str) -> None:
        """Request a run for a reason, which is a tag and its value, unless runs for the same one came to nothing.

        ``why`` is for people, ``what`` the word for such runs.
        """
        tried = attempts(self.instance, dict([reason]))
        if tried >= ATTEMPTS:
            self.give_up(name, what)
            return
        tags = dict([reason]) | {WHY: f"{name}: {why}{nth(tried)}"}
        self.requests.append(dg.RunRequest(run_key=f"{reason[1]}:{tried + 1}", job_name=job, tags=tags))

    def give_up(self, name: str, what: str) -> None:
        """Say that nothing more is requested for the same content, and the way out."""
        self.notes.append(
            f"{name}: given up after {ATTEMPTS} {what}; see its runs, then launch one or change the content"
        )

    def alone(self, name: str, look: Callable[[], bool | None]) -> bool:
        """Look at one dataset or model; whether that has others wait. What cannot be read is told, and stops no other.

        Raises Broken, of the ledger, where nothing that is decided would hold.
        """
        self.looked.append(name)
        try:
            return bool(look())
        except Broken:
            raise
        except PlatformError as error:
            said = f"{name}: the sensor {self.context.sensor_name} cannot look at it: {error}"
            self.needs.append(alerts.Alert(name, self.kind, said, str(error)))
            return True

    @property
    def kind(self) -> str:
        """What alerts of this sensor are about."""
        return f"sensor {self.context.sensor_name}"

    def result(self) -> dg.SensorResult:
        """Requests, or the reason why there are none."""
        if self.looked:
            self.notes += [alert.said for alert in self.needs]
            self.notes += alerts.tell(self.workspace, self.needs, kinds=[self.kind], names=self.looked)
        for note in [*self.notes, *(f"requested: {request.tags[WHY]}" for request in self.requests)]:
            self.context.log.info(note)
        if self.requests:
            return dg.SensorResult(run_requests=self.requests)
        return dg.SensorResult(skip_reason=dg.SkipReason("; ".join(self.notes) or "nothing is declared"))


def nth(tried: int) -> str:
    """Which attempt comes next, where it is not the first."""
    return f" (attempt {tried + 1} of {ATTEMPTS})" if tried else ""


def new_data_sensor(catalogue: Catalogue, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """New or changed partitions at a source are ingested; then each model on them is trained as it declares."""

    @dg.sensor(
        name="new_data",
        jobs=jobs,
        minimum_interval_seconds=get_settings().sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ingests what is new at the sources, then trains each model as its `retrain` says.",
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = Tick(context, catalogue)
        for run in end_dead_runs(context.instance):
            tick.notes.append(f"run {run[:8]} was killed")
        tick.notes += rollout.attend(tick.workspace, catalogue.models)
        for dataset in catalogue.datasets.values():
            if tick.paused(dataset.name) or tick.alone(
                dataset.name, partial(_request_ingestion, tick, catalogue, dataset)
            ):
                continue
            for name, model in catalogue.models.items():
                if model.features.partition("/")[0] == dataset.name:
                    tick.alone(name, partial(_request_training, tick, ModelContext.of(catalogue, name)))
        return tick.result()

    return new_data


def model_sensor(
    catalogue: Catalogue,
    name: str,
    look: Callable[[Tick, ModelContext], None],
    description: str,
    jobs: Sequence[Any] | None = None,
) -> dg.SensorDefinition:
    """A sensor that looks at each model, but for those that are paused, and may request these jobs."""

    @dg.sensor(
        name=name,
        jobs=jobs,
        minimum_interval_seconds=2 * get_settings().sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = Tick(context, catalogue)
        for model in catalogue.models:
            if not tick.paused(model):
                look(tick, ModelContext.of(catalogue, model))
        return tick.result()

    return sensor


def drift_sensor(catalogue: Catalogue) -> dg.SensorDefinition:
    """The newest partitions against what the live version learned; the sensor new_data decides what follows."""
    description = "Compares the newest partitions with what the champion learned and leads one to expect."
    return model_sensor(catalogue, "drift", _look_for_drift, description)


def _request_ingestion(tick: Tick, catalogue: Catalogue, spec: DatasetSpec) -> bool:
    """Ask for the partitions that have to be ingested; whether training has to wait for it."""
    job = f"{spec.name}_ingest"
    if tick.busy(spec.name, job, "ingestion"):
        return True
    try:
        offered, ignored = data.offered(tick.workspace, spec)
    except Exception as error:
        # Somebody else's system: what else this sensor looks after goes on without it.
        tick.context.log.warning(f"{spec.name}: the source cannot be asked", exc_info=True)
        tick.notes.append(f"{spec.name}: the source cannot be asked: {type(error).__name__}: {one_line(str(error))}")
        return False
    if ignored:
        tick.notes.append(data.no_partitions(spec, ignored))
    features = [item for item in catalogue.features.values() if item.dataset == spec.name]
    pending = pending_partitions(tick.workspace, spec, features, offered, _ingested(tick.instance, spec, offered))
    tried = {item.partition: attempts(tick.instance, {f"{WANTED}{item.partition}": item.wanted}) for item in pending}
    given_up = [item for item in pending if tried[item.partition] >= ATTEMPTS]
    for item in given_up:
        tick.give_up(f"{spec.name}/{item.partition}", f"attempts ({item.reason})")
    if given_up and features:
        # Features need the history of every earlier partition: later ones would fail for the same reason.
        pending = [item for item in pending if item.partition < given_up[0].partition]
    if not pending:
        tick.notes.append(f"{spec.name}: nothing new among the {len(offered)} partitions at the source")
        return False
    chosen = _first_range(list(offered), pending, tried)
    tick.requests.append(_ingestion(spec, job, chosen, tried))
    return True


def _first_range(keys: list[str], pending: list[Pending], tried: dict[str, int]) -> list[Pending]:
    """The first partitions in a row that were never tried; alone the first one, if it was.

    One range at a time, since the features of later partitions need the earlier ones; one by one after a
    failure, so that a partition that cannot be ingested keeps no other back.
    """
    order = sorted(keys)
    chosen = [pending[0]]
    if tried[pending[0].partition]:
        return chosen
    for item in pending[1:LARGEST_RANGE]:
        adjacent = order.index(item.partition) == order.index(chosen[-1].partition) + 1
        if not adjacent or tried[item.partition]:
            break
        chosen.append(item)
    return chosen


def _ingestion(spec: DatasetSpec, job: str, chosen: list[Pending], tried: dict[str, int]) -> dg.RunRequest:
    first, last, before = chosen[0].partition, chosen[-1].partition, tried[chosen[0].partition]
    reasons = ", ".join(sorted({item.reason for item in chosen}))
    span = first if first == last else f"{first} to {last}"
    why = f"{spec.name}: {span} {reasons}{nth(before)}"
    tags = {WHY: why, **{f"{WANTED}{item.partition}": item.wanted for item in chosen}}
    wanted = "-".join(item.wanted for item in chosen)
    run_key = f"{spec.name}/{first}/{last}/{wanted[:200]}:{before + 1}"
    if first == last:
        return dg.RunRequest(run_key=run_key, job_name=job, partition_key=first, tags=tags)
    return dg.RunRequest(run_key=run_key, job_name=job, tags={**tags, RANGE_START: first, RANGE_END: last})


def _request_training(tick: Tick, context: ModelContext) -> None:
    """Ask for a training where the model's declaration and what is known ask for one."""
    name = context.model.name
    busy, paused = tick.working(name, f"{name}_train", "training"), tick.held.get(name, "")
    found = retraining.propose(
        tick.workspace,
        context,
        busy=busy,
        paused=paused,
        attempts=lambda reason: attempts(tick.instance, {REASON: reason}),
        obeyed=lambda order: attempts(tick.instance, {ORDER: order}),
    )
    action, said, causes = found.decision
    if not (busy or paused):
        needs = [alerts.Alert(name, "training", said, ", ".join(causes) or said)] * (action in ("advise", "stuck"))
        tick.notes += alerts.tell(tick.workspace, needs, kinds=["training"], names=[name])
    if action != "train":
        tick.notes.append(said)
        return
    retraining.record(tick.workspace, found)
    tags = {REASON: found.reason, WHY: found.decision.said}
    if found.order:
        tags[ORDER] = f"{name}/{found.order}"
    key = f"{found.reason}:{found.attempts + 1}"
    tick.requests.append(dg.RunRequest(run_key=key, job_name=f"{name}_train", tags=tags))


def _look_for_drift(tick: Tick, context: ModelContext) -> None:
    from ml_platform.pipeline.drift import look

    name, dataset = context.model.name, context.dataset.name
    if tick.busy(dataset, f"{dataset}_ingest", "ingestion") or tick.busy(name, f"{name}_train", "training"):
        return
    try:
        tick.notes.append(f"{name}: {look(tick.workspace, context)}")
    except PlatformError as error:
        tick.notes.append(f"{name}: {error}")


def _ingested(instance: dg.DagsterInstance, spec: DatasetSpec, offered: dict[str, str]) -> dict[str, str]:
    """Partition to the fingerprint of what was last ingested for it."""
    found: dict[str, str] = {}
    cursor, waiting = None, set(offered)
    while waiting:
        page = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey([spec.name, "batch"]), asset_partitions=sorted(waiting)),
            limit=500,
            cursor=cursor,
        )
        for record in page.records:
            event = record.asset_materialization
            if event is None or event.partition not in waiting:
                continue
            waiting.discard(event.partition)
            value = event.metadata.get(FINGERPRINT)
            found[event.partition] = str(value.value) if value is not None else ""
        if not page.has_more:
            break
        cursor = page.cursor
    return found
