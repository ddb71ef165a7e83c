"""A small real project for tests: months of real flights in a source that can be broken, and the platform on it.

The declarations are those of ``ml_platform/defs`` with another source, fewer rows and smaller models; the Dagster
definitions come from the builders that the components use.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import yaml

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.declaration import Declaration
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.settings import get_settings
from ml_platform.gates.gate import Verdict
from ml_platform.ledger.chain import Entry
from ml_platform.orchestration import common
from ml_platform.orchestration.dataset import dataset_definitions, feature_definitions
from ml_platform.orchestration.model import model_definitions
from ml_platform.orchestration.platform import WHOLE_LOOP, platform_definitions
from ml_platform.orchestration.sensors import RANGE_END, RANGE_START
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.moving import moved
from ml_platform_tests.prepared import once

if TYPE_CHECKING:
    import polars as pl
    from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

#: Environment variable with the folder that :data:`source` serves.
FOLDER = "FLIGHTS_TEST_SOURCE"
JANUARY, FEBRUARY, MARCH, APRIL, MAY = MONTHS = tuple(f"2013-{month:02d}-01" for month in range(1, 6))
ROWS = 3000
MODEL = "flight_delay"
#: What is declared otherwise than in ``ml_platform/defs``: a fiftieth of the rows carries a smaller model.
DATASET = {
    "source": "ml_platform_tests.project:source",
    "partitions": {"every": "month", "start": "2013-01-01", "end": "2013-06-01"},
}
#: Gates of the example that see nearly every break, so that no other gate would be seen to act alone. They are proven
#: where they are declared.
BROAD = (
    *("distribution", "constancy", "coverage", "labels", "near_duplicates", "dependency", "correction", "counts"),
    "association",
    "single_feature",
)
PARAMETERS = {"rounds": 40, "max_depth": 4, "eta": 0.1, "min_child_weight": 20, "colsample_bytree": 0.3, "seed": 7}


class FolderSource:
    """Serves the Parquet files of a folder: one batch each, with its sha256 as the fingerprint."""

    def partitions(self) -> dict[str, str]:
        """Partition to fingerprint."""
        return {path.stem: sha256_file(path) for path in sorted(Path(os.environ[FOLDER]).glob("*.parquet"))}

    def read(self, partition: str) -> "pl.DataFrame":
        """One batch as it is in the folder now."""
        import polars as pl

        return pl.read_parquet(Path(os.environ[FOLDER]) / f"{partition}.parquet")


source = FolderSource()


def sample_months(folder: Path, months: Iterable[str] = MONTHS, rows: int | None = ROWS) -> Path:
    """Write a sample of each real month (all rows: ``None``) to ``folder``, always the same; what is there stays."""
    from ml_platform.defs.flights.source import KEY
    from ml_platform.defs.flights.source import source as flights

    folder.mkdir(parents=True, exist_ok=True)
    for month in months:
        if not (folder / f"{month}.parquet").exists():
            whole = flights.read(month)
            chosen = whole if rows is None else whole.sample(rows, seed=2013).sort(KEY)
            chosen.write_parquet(folder / f"{month}.parquet")
    return folder


class Batches:
    """The folder behind a project's source: what has arrived there, whole or broken."""

    def __init__(self, folder: Path, originals: Path) -> None:
        self.folder, self.originals = folder, originals
        folder.mkdir(parents=True, exist_ok=True)

    def original(self, month: str) -> "pl.DataFrame":
        """The real rows of a month."""
        import polars as pl

        return pl.read_parquet(self.originals / f"{month}.parquet")

    def deliver(self, *months: str, change: "Callable[[pl.DataFrame], pl.DataFrame] | None" = None) -> None:
        """Let months arrive (or arrive again), each with its rows changed."""
        for month in months:
            frame = self.original(month)
            (change(frame) if change else frame).write_parquet(self.folder / f"{month}.parquet")


def declared(
    *,
    dataset: Mapping[str, Any] | None = None,
    features: Mapping[str, Any] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
) -> Catalogue:
    """The declarations of the example, with these attributes changed; one model for each entry of ``models``.

    Models are ``flight_delay`` under another name, with its own changes.
    """
    from ml_platform.declarations.dataset import DatasetSpec
    from ml_platform.declarations.features import FeatureSpec
    from ml_platform.declarations.model import ModelSpec

    data, feature = deepcopy(_attributes("flights"))
    specs: list[Declaration] = [
        DatasetSpec.model_validate({**data, **DATASET, **(dataset or {})}),
        FeatureSpec.model_validate({**feature, **(features or {})}),
    ]
    (model,) = deepcopy(_attributes(MODEL))
    small = {**model, "split": {"holdout": 1}, "parameters": PARAMETERS, "gates": GATES}
    for name, changes in (models if models is not None else {MODEL: {}}).items():
        specs.append(ModelSpec.model_validate({**small, "name": name, **changes}))
    return Catalogue.of(specs)


@cache
def _attributes(folder: str) -> list[dict[str, Any]]:
    text = (ROOT / "ml_platform" / "defs" / folder / "defs.yaml").read_text()
    found = [document["attributes"] for document in yaml.safe_load_all(text)]
    return [{**one, "gates": [gate for gate in one["gates"] if gate["gate"] not in BROAD]} for one in found]


#: Gates of the small model. Its thresholds are those of some thousand rows, with the real ones for leaks and services.
GATES: list[dict[str, Any]] = [
    {"gate": "disjoint"},
    {"gate": "time_order"},
    {"gate": "performance", "metric": "auc", "min": 0.6},
    {"gate": "baseline", "metric": "auc", "min": 0.005},
    {"gate": "champion", "metric": "auc", "mode": "non_inferior", "min": -0.05},
    {"gate": "leak_alarm", "metric": "auc", "max": 0.85},
    {"gate": "servability"},
    {"gate": "skew", "max": 0},
    {"gate": "bad_input"},
    {"gate": "health"},
]


def gates(**changes: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """:data:`GATES` with the thresholds of some changed, by kind; ``None`` takes a gate off."""
    return [
        {**gate, **(changes.get(gate["gate"]) or {})} for gate in GATES if changes.get(gate["gate"], {}) is not None
    ]


@dataclass(frozen=True)
class Outcome:
    """What a run of Dagster did, by its own events."""

    success: bool
    run_id: str
    #: Failed step to its error message (of the cause, where there is one) with the class in front.
    errors: dict[str, str]
    #: Materialization events: asset and partition.
    materialized: list[tuple[str, str | None]]
    #: Evaluations of checks: asset, partition, check name to the event.
    checks: dict[tuple[str, str | None, str], dg.AssetCheckEvaluation]

    @property
    def error(self) -> str:
        """All error messages of the run."""
        return "\n".join(self.errors.values())

    def failed(self, asset: str, partition: str | None = None) -> set[str]:
        """Names of the checks of an asset that did not pass."""
        there = {name: event for (key, part, name), event in self.checks.items() if (key, part) == (asset, partition)}
        return {name for name, event in there.items() if not event.passed}

    def passed(self, asset: str, partition: str | None = None) -> set[str]:
        """Names of the checks of an asset that passed."""
        return {
            name
            for (key, part, name), event in self.checks.items()
            if (key, part) == (asset, partition) and event.passed
        }

    def assets(self, partition: str | None = None) -> set[str]:
        """Assets that were materialized for a partition."""
        return {asset for asset, part in self.materialized if part == partition}


@dataclass(frozen=True)
class Holdings:
    """Everything that a run over unchanged content must leave as it is."""

    commits: frozenset[str]
    tags: Mapping[str, str]
    ledger: str
    versions: Mapping[str, list[int]]
    mlflow_runs: int


@dataclass
class Project:
    """Declarations on a folder and a Dagster instance; every method runs under this project's settings."""

    folder: Path
    batches: Batches
    catalogue: Catalogue
    instance: dg.DagsterInstance
    environment: dict[str, str] = field(default_factory=dict)
    #: What is meant where a call names none: dataset, model, and the variable with the folder of the source.
    dataset: str = "flights"
    model: str = MODEL
    variable: str = FOLDER

    @contextmanager
    def active(self) -> Iterator[Workspace]:
        """Make the project's settings those of this process for the block."""
        changed = {
            "ML_PLATFORM_LOCAL": str(self.folder / "local"),
            self.variable: str(self.batches.folder),
            "ML_PLATFORM_THREADS": "1",
            **self.environment,
        }
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        forget()
        try:
            yield Workspace()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            forget()

    def prepare_tracking(self) -> None:
        """Make the tables of MLflow, which takes a second in each project that is not a copy of this one."""
        with self.active() as workspace:
            assert workspace.tracking.client

    def variant(self, catalogue: Catalogue, **environment: str) -> "Project":
        """Other declarations or settings on the same folder and instance."""
        return replace(self, catalogue=catalogue, environment={**self.environment, **environment})

    @cached_property
    def definitions(self) -> dg.Definitions:
        """The Dagster definitions of the declarations."""
        with self.active():
            return dg.Definitions.merge(
                *(dataset_definitions(spec) for spec in self.catalogue.datasets.values()),
                *(
                    feature_definitions(spec, self.catalogue.dataset(spec.dataset))
                    for spec in self.catalogue.features.values()
                ),
                *(model_definitions(self.context(name)) for name in self.catalogue.models),
                platform_definitions(self.catalogue),
            )

    def context(self, model: str = "") -> ModelContext:
        """A model with the declarations it depends on."""
        return ModelContext.of(self.catalogue, model or self.model)

    def ingest(self, first: str, last: str = "") -> Outcome:
        """Run the job ``<dataset>_ingest`` for one partition, or for a range in one run."""
        job = self.definitions.resolve_job_def(f"{self.dataset}_ingest")
        return self._execute(job, first, last)

    def loop(self, first: str, last: str) -> Outcome:
        """Run the job over everything for a range of partitions, in one run."""
        return self._execute(self.definitions.resolve_job_def(WHOLE_LOOP), first, last)

    def execute(self, job: str) -> Outcome:
        """Run a job without partitions."""
        return self._execute(self.definitions.resolve_job_def(job))

    def train(self, model: str = "") -> Outcome:
        """Run the job ``<model>_train``."""
        return self._execute(self.definitions.resolve_job_def(f"{model or self.model}_train"))

    def materialize(self, *assets: str, partition: str = "", checks: Iterable[str] | None = ()) -> Outcome:
        """Materialize assets alone; ``checks`` (of any of them, by ``asset/name``) too, all of theirs with ``None``."""
        chosen = None if checks is None else {_check_key(name) for name in checks}
        keys = {dg.AssetKey(name.split("/")) for name in assets}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return self._execute(job.get_subset(asset_selection=keys, asset_check_selection=chosen), partition)

    def tick(self, cursor: "AssetDaemonCursor | None") -> "tuple[list[dg.RunRequest], AssetDaemonCursor]":
        """One tick of the automation sensor: what it asks for, as the daemon computes it."""
        import logging

        from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
        from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext

        before = cursor or AssetDaemonCursor.empty()
        sensor = self.definitions.resolve_sensor_def("automation")
        assert isinstance(sensor, dg.AutomationConditionSensorDefinition)
        with self.active():
            requests, after, _ = AutomationTickEvaluationContext(
                evaluation_id=before.evaluation_id + 1,
                instance=self.instance,
                asset_graph=self.definitions.resolve_asset_graph(),
                cursor=before,
                materialize_run_tags={},
                observe_run_tags={},
                auto_observe_asset_keys=set(),
                asset_selection=sensor.asset_selection,
                logger=logging.getLogger(__name__),
                emit_backfills=False,
            ).evaluate()
        return list(requests), after

    def launch(self, request: dg.RunRequest) -> Outcome:
        """Execute what a tick asked for."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        chosen = job.get_subset(
            asset_selection=set(request.asset_selection or ()),
            asset_check_selection=None if request.asset_check_keys is None else set(request.asset_check_keys),
        )
        return self._execute(chosen, request.partition_key or "", tags=request.tags)

    def _execute(
        self, job: dg.JobDefinition, first: str = "", last: str = "", tags: Mapping[str, str] | None = None
    ) -> Outcome:
        ranged = {RANGE_START: first, RANGE_END: last} if last else {}
        with self.active():
            result = job.execute_in_process(
                instance=self.instance,
                partition_key=first if first and not last else None,
                tags={**(tags or {}), **ranged},
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        return _outcome(result)

    def materializations(self, asset: str, partition: str | None = None) -> list[dg.AssetMaterialization]:
        """Every materialization event of an asset, oldest first, over all runs."""
        only = [partition] if partition else None
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=only)
        records = self.instance.fetch_materializations(wanted, limit=1000, ascending=True).records
        return [record.asset_materialization for record in records if record.asset_materialization]

    def record(self, asset: str, partition: str) -> dg.EventLogRecord:
        """The newest materialization of a partition, as recorded."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=[partition])
        (record,) = self.instance.fetch_materializations(wanted, limit=1).records
        return record

    def evaluations(self, asset: str, partition: str) -> dict[str, dg.AssetCheckEvaluation]:
        """The newest evaluation of each check of a partition, as Dagster keeps it."""
        key, found = dg.AssetKey(asset.split("/")), {}
        for check in self.definitions.resolve_asset_graph().get_check_keys_for_assets({key}):
            for record in self.instance.event_log_storage.get_asset_check_execution_history(check, limit=100):
                event = record.event.dagster_event if record.event else None
                if record.partition == partition and event is not None:
                    found.setdefault(check.name, event.asset_check_evaluation_data)
        return found

    def reference(self, asset: str, partition: str | None = None) -> Any:
        """The latest reference of an asset."""
        with self.active() as workspace:
            return workspace.references.load(asset, partition or "")

    def verdicts(self, name: str) -> dict[str, Verdict]:
        """The newest verdict of each gate on whatever had this name last."""
        found = self.entries(subject_name=name, kind="verdict")
        newest = found[-1].subject if found else ""
        return {entry.gate: Verdict.model_validate(entry.body) for entry in found if entry.subject == newest}

    def entries(self, **chosen: Any) -> list[Entry]:
        """Entries of the ledger."""
        with self.active() as workspace:
            return workspace.ledger.entries(**chosen)

    def holdings(self) -> Holdings:
        """Commits on every branch, tags, head of the ledger, registered versions, MLflow runs."""
        with self.active() as workspace:
            store, client = workspace.store, workspace.tracking.client
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            return Holdings(
                frozenset(commit.id for branch in store.branches() for commit in store.log(branch)),
                dict(store.tags()),
                workspace.ledger.head(),
                {
                    name: [version.version for version in workspace.registry.versions(name)]
                    for name in self.catalogue.models
                },
                len(client.search_runs(experiments, max_results=1000)),
            )

    def published(self) -> dict[str, str]:
        """Published partitions and their content."""
        from ml_platform.datasets import batches

        with self.active() as workspace:
            return {name: info.sha256 for name, info in batches.published(workspace.store, self.dataset).items()}


def new_project(
    folder: Path,
    originals: Path,
    catalogue: Catalogue | None = None,
    *,
    instance: dg.DagsterInstance | None = None,
    arrived: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Project:
    """An empty project below ``folder``; the months ``arrived`` wait at its source."""
    project = Project(
        folder,
        Batches(folder / "source", originals),
        catalogue or declared(),
        instance or dg.DagsterInstance.ephemeral(),
        dict(environment or {}),
    )
    project.batches.deliver(*arrived)
    return project


def originals(base: Path) -> Path:
    """Folder with the sample of each month; ``base`` as for :func:`once`."""

    def make(folder: Path) -> None:
        sample_months(folder)

    return once(base, "flights", make)


def ingested(base: Path) -> Path:
    """Folder of a project in which January to April are published, with features; ``base`` as for :func:`once`."""
    months = originals(base)

    def make(folder: Path) -> None:
        project = new_project(folder, months, arrived=MONTHS[:4])
        outcome = project.ingest(JANUARY, APRIL)
        assert outcome.success, outcome.error
        project.prepare_tracking()

    return once(base, "ingested", make)


def copy_of(folder: Path, target: Path, catalogue: Catalogue | None = None, **environment: str) -> Project:
    """A project of its own with everything that another one made, and an empty Dagster history."""
    shutil.copytree(folder, target)
    moved(target, str(folder), str(target))
    return new_project(target, folder.parent / "flights", catalogue, environment=environment)


def forget() -> None:
    """Forget settings and workspace of this process, and where it found artifacts of runs."""
    get_settings.cache_clear()
    common._workspace.cache_clear()
    if mlflow := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        # Where a run keeps its artifacts: a copy of a project has runs of the same names elsewhere.
        mlflow._artifact_repos_cache.clear()


def _check_key(name: str) -> dg.AssetCheckKey:
    asset, _, check = name.rpartition("/")
    return dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check)


def _outcome(result: dg.ExecuteInProcessResult) -> Outcome:
    errors: dict[str, str] = {}
    materialized: list[tuple[str, str | None]] = []
    checks: dict[tuple[str, str | None, str], dg.AssetCheckEvaluation] = {}
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            assert error is not None and event.step_key is not None
            cause, told = error.cause or error, event.step_failure_data.user_failure_data
            kind = told.metadata["error"].text if told else cause.cls_name
            errors[event.step_key] = f"{kind}: {cause.message}"
        elif event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            if materialization.asset_key.path[-1] == "history":
                continue  # told by the step of the dataset, and not made
            materialized.append((materialization.asset_key.to_user_string(), materialization.partition))
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            checks[evaluation.asset_key.to_user_string(), evaluation.partition, evaluation.check_name] = evaluation
    return Outcome(result.success, result.run_id, errors, materialized, checks)
