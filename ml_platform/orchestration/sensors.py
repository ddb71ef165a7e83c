"""Sensors: one per kind, over all datasets and models, on by default. They decide from persisted state.

A model or dataset is paused by name with ``ML_PLATFORM_PAUSED``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ml_platform.declarations import Catalogue, DatasetSpec, ModelContext
from ml_platform.errors import PlatformError
from ml_platform.loop import model as model_steps
from ml_platform.orchestration.lineage import FINGERPRINT
from ml_platform.orchestration.references import References
from ml_platform.settings import get_settings
from ml_platform.workspace import Run, Workspace

#: How often the same content is tried before the sensor gives up on it and says so.
ATTEMPTS = 3
#: Tag that counts the attempts for the same content.
REASON = "ml_platform/requested_for"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
BUSY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass
class Tick:
    """What a tick found: runs to request, and a sentence about everything it looked at."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def result(self) -> dg.SensorResult:
        """Requests, or the reason why there are none."""
        text = "; ".join(self.notes) or "nothing is declared"
        if self.requests:
            return dg.SensorResult(run_requests=self.requests)
        return dg.SensorResult(skip_reason=dg.SkipReason(text))


def new_data_sensor(catalogue: Catalogue, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """New or changed partitions at a source are ingested; then each model on them is trained once."""

    @dg.sensor(
        name="new_data",
        jobs=jobs,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ingests what is new at the sources, then trains each model on it once.",
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick, workspace = Tick(), Workspace()
        for dataset in catalogue.datasets.values():
            if _paused(dataset.name, tick):
                continue
            if _request_ingestion(context, dataset, tick):
                continue
            for name, model in catalogue.models.items():
                if model.features.partition("/")[0] == dataset.name and not _paused(name, tick):
                    _request_training(context, workspace, ModelContext.of(catalogue, name), tick)
        for note in tick.notes:
            context.log.info(note)
        return tick.result()

    return new_data


def _request_ingestion(context: dg.SensorEvaluationContext, spec: DatasetSpec, tick: Tick) -> bool:
    """Ask for the partitions whose content at the source was not ingested yet; whether training has to wait."""
    busy = _busy(context.instance, f"{spec.name}_ingest")
    if busy:
        tick.notes.append(f"{spec.name}: ingestion {busy[:8]} is under way")
        return True
    offered = spec.load_source().partitions()
    key = dg.AssetKey([spec.name, "batch"])
    fresh, given_up = [], []
    for partition, fingerprint in sorted(offered.items()):
        if _ingested(context.instance, key, partition) == fingerprint:
            continue
        attempts = _attempts(context.instance, f"{spec.name}/{partition}/{fingerprint}"[:250])
        (fresh if attempts < ATTEMPTS else given_up).append((partition, fingerprint, attempts))
    for partition, fingerprint, attempts in given_up:
        tick.notes.append(
            f"{spec.name}/{partition} ({fingerprint[:8]}) was not ingested in {attempts} attempts; see its runs"
        )
    if not fresh:
        tick.notes.append(f"{spec.name}: nothing new among {len(offered)} partitions at the source")
        return False
    all_keys = sorted(offered)
    for group in _contiguous(all_keys, [item[0] for item in fresh]):
        chosen = [item for item in fresh if item[0] in group]
        first, last = group[0], group[-1]
        tags = {REASON: f"{spec.name}/{first}/{chosen[0][1]}"[:250]}
        run_key = "/".join([spec.name, *(f"{name}:{print_[:12]}:{count}" for name, print_, count in chosen)])
        if first == last:
            tick.requests.append(
                dg.RunRequest(run_key=run_key, job_name=f"{spec.name}_ingest", partition_key=first, tags=tags)
            )
        else:
            tags |= {RANGE_START: first, RANGE_END: last}
            tick.requests.append(dg.RunRequest(run_key=run_key, job_name=f"{spec.name}_ingest", tags=tags))
        # One at a time: the features of a later partition need the earlier ones.
        break
    tick.notes.append(f"{spec.name}: {len(fresh)} new at the source ({fresh[0][0]} to {fresh[-1][0]})")
    return True


def _request_training(
    context: dg.SensorEvaluationContext, workspace: Workspace, model: ModelContext, tick: Tick
) -> None:
    name = model.model.name
    if not model.model.retrain_on_new_data:
        tick.notes.append(f"{name}: trains on request only (retrain_on_new_data: false)")
        return
    busy = _busy(context.instance, f"{name}_train")
    if busy:
        tick.notes.append(f"{name}: training {busy[:8]} is under way")
        return
    try:
        split = model_steps.split(workspace, model, References().all(model.feature_set.key), Run(id="new_data"))
    except PlatformError as error:
        tick.notes.append(f"{name}: not trained: {error}")
        return
    if _trained(context.instance, name) == split.sha256:
        tick.notes.append(f"{name}: trained on everything that is published ({split.sha256[:8]})")
        return
    reason = f"{name}/{split.sha256}"
    attempts = _attempts(context.instance, reason)
    if attempts >= ATTEMPTS:
        tick.notes.append(
            f"{name}: {attempts} trainings on {split.sha256[:8]} did not get past the split; see its runs"
        )
        return
    tick.requests.append(dg.RunRequest(run_key=f"{reason}:{attempts}", job_name=f"{name}_train", tags={REASON: reason}))
    tick.notes.append(
        f"{name}: to be trained on {split.train[-1].partition}, held out up to {split.holdout[-1].partition}"
    )


def drift_sensor(catalogue: Catalogue, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Raw inputs of the newest partitions against those the live version was trained on."""

    @dg.sensor(
        name="drift",
        jobs=jobs,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares the newest partitions with the training data of the registered version.",
    )
    def drift(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from ml_platform.loop.drift import observe

        tick, workspace = Tick(), Workspace()
        seen: dict[str, str] = _cursor(context)
        for name, spec in catalogue.models.items():
            if spec.drift is None or _paused(name, tick):
                continue
            if busy := _busy(context.instance, f"{name}_train"):
                tick.notes.append(f"{name}: training {busy[:8]} is under way")
                continue
            try:
                found = observe(workspace, ModelContext.of(catalogue, name), known=seen.get(name, ""))
            except PlatformError as error:
                tick.notes.append(f"{name}: {error}")
                continue
            if found is None:
                tick.notes.append(f"{name}: nothing new since the last look")
                continue
            seen[name] = found.key
            tick.notes.append(f"{name}: {found.text}")
            if found.drifted and spec.drift.action == "train":
                reason = f"drift/{name}/{found.key}"
                tick.requests.append(
                    dg.RunRequest(run_key=reason, job_name=f"{name}_train", tags={REASON: reason[:250]})
                )
        for note in tick.notes:
            context.log.info(note)
        result = tick.result()
        return dg.SensorResult(run_requests=result.run_requests, skip_reason=result.skip_reason, cursor=_text(seen))

    return drift


def _paused(name: str, tick: Tick) -> bool:
    paused = name in {part.strip() for part in get_settings().paused.split(",")}
    if paused:
        tick.notes.append(f"{name}: paused by ML_PLATFORM_PAUSED")
    return paused


def _busy(instance: dg.DagsterInstance, job: str) -> str:
    """Id of a run of the job that has not ended, or of the job over everything; empty where there is none."""
    for name in (job, "whole_loop"):
        runs = instance.get_run_records(dg.RunsFilter(job_name=name, statuses=BUSY), limit=1)
        if runs:
            return runs[0].dagster_run.run_id
    return ""


def _attempts(instance: dg.DagsterInstance, reason: str) -> int:
    return instance.get_runs_count(dg.RunsFilter(tags={REASON: reason[:250]}))


def _ingested(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> str | None:
    """Fingerprint of what was last ingested for a partition."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
    ).records
    if not records or records[0].asset_materialization is None:
        return None
    value = records[0].asset_materialization.metadata.get(FINGERPRINT)
    return str(value.value) if value is not None else None


def _trained(instance: dg.DagsterInstance, name: str) -> str | None:
    """Hash of the split that the model was last trained on."""
    event = instance.get_latest_materialization_event(dg.AssetKey([name, "split"]))
    if event is None or event.asset_materialization is None:
        return None
    return (event.asset_materialization.tags or {}).get("dagster/data_version")


def _contiguous(all_keys: list[str], wanted: list[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for key in all_keys:
        if key in wanted:
            group.append(key)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _cursor(context: dg.SensorEvaluationContext) -> dict[str, Any]:
    import json

    return json.loads(context.cursor) if context.cursor else {}


def _text(seen: dict[str, Any]) -> str:
    import json

    return json.dumps(seen, sort_keys=True)
