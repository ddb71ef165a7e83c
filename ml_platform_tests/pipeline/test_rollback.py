"""A rollback holds: the content stays away, what was built from it is stale, and its users are named."""

from pathlib import Path
from typing import Any

import pytest

from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN
from ml_platform.features.materialize import Stale
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data, evaluation, inspections, registration, training
from ml_platform.pipeline.lineage import contents, uses
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.rollback import roll_back
from ml_platform_tests.orchestration.staleness import stale
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MODEL,
    copy_of,
    declared,
)


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    """A copy of what was ingested."""
    return copy_of(four_months, tmp_path / "project")


def corrected(frame: Any) -> Any:
    return frame.head(frame.height - 40)


def taken_back(project: Project, partition: str, **wish: Any) -> Any:
    """Run the job that takes a month back."""
    job = project.definitions.resolve_job_def(f"{DATASET}_rollback")
    config = {"partition": partition, "reason": "wrong unit", "by": "ada", **wish}
    with project.active():
        return job.execute_in_process(
            instance=project.instance,
            raise_on_error=False,
            run_config={
                "ops": {f"roll_back_{DATASET}": {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )


@pytest.mark.slow
def test_a_rollback_in_dagster_is_seen_downstream_and_holds(project: Project) -> None:
    assert project.ingest(JANUARY, APRIL).success, "the events of this Dagster instance"
    before = project.published()
    project.batches.deliver(MARCH, change=corrected)
    assert project.ingest(MARCH).success and project.ingest(APRIL).success
    bad = project.published()[MARCH]
    assert bad != before[MARCH]
    months = (FEBRUARY, MARCH, APRIL)
    assert not stale(project, *months)

    result = taken_back(project, MARCH)
    assert result.success
    assert project.published() == before
    event = project.materializations(f"{DATASET}/dataset", MARCH)[-1]
    assert (event.tags or {})["dagster/data_version"] == before[MARCH]
    assert event.metadata["rolled_back"].value == bad
    # The features of March, and those of April, whose history has March in it.
    assert sorted(stale(project, *months)) == [f"{FEATURES}/{month}" for month in (MARCH, APRIL)]
    (entry,) = project.entries(kind="rollback")
    assert (entry.body["taken_back"], entry.body["current"], entry.body["by"]) == (bad, before[MARCH], "ada")
    with project.active() as workspace:
        reference = workspace.references.load(f"{DATASET}/dataset", MARCH)
        assert (reference.sha256, reference.branch) == (before[MARCH], MAIN)
        materializer = materializer_of(workspace, project.context().feature_set, project.context().dataset)
        for month in (MARCH, APRIL):
            with pytest.raises(Stale, match=f"{DATASET}/{MARCH} changed since"):
                materializer.check_current(workspace.references.load(FEATURES, month))
        materializer.check_current(workspace.references.load(FEATURES, FEBRUARY))
        with pytest.raises(Stale):
            training.split(workspace, project.context(), workspace.references.all(FEATURES), Run.new())
        assert workspace.ledger.verify() > 0

    again = project.ingest(MARCH)
    assert f"{DATASET}/batch/{MARCH}" in again.error and "was withdrawn by ada: wrong unit" in again.error
    assert project.published() == before, "the same delivery does not come back by another run"
    assert project.ingest(JANUARY, APRIL).success
    assert project.published() == before
    # The newest batch of March is the one that was withdrawn.
    assert list(stale(project, *months)) == [f"{DATASET}/dataset/{MARCH}"]
    with project.active() as workspace:
        training.split(workspace, project.context(), workspace.references.all(FEATURES), Run.new())

    assert taken_back(project, MARCH, to=bad[:12]).success
    assert project.published()[MARCH] == bad
    assert project.ingest(MARCH).success, "named by hand it may be published again"


def test_a_run_that_is_repeated_goes_back_only_once(project: Project) -> None:
    first = project.published()[APRIL]
    contents_of_april = [first]
    for rows in (30, 60):
        project.batches.deliver(APRIL, change=lambda frame, rows=rows: frame.head(frame.height - rows))
        assert project.ingest(APRIL).success
        contents_of_april.append(project.published()[APRIL])
    wish: dict[str, Any] = {"reason": "wrong", "request": "one"}
    with project.active() as workspace:
        spec = project.context().dataset
        for _ in range(2):
            done = roll_back(workspace, spec, APRIL, Run.new(), **wish)
            assert (done.withdrawn, done.current) == (contents_of_april[2], contents_of_april[1])
        assert project.published()[APRIL] == contents_of_april[1]
        assert len(workspace.ledger.entries(kind="rollback")) == 1
        done = roll_back(workspace, spec, APRIL, Run.new(), reason="wrong", request="two")
        assert done.current == first
        with pytest.raises(PlatformError, match="published anew since this was asked for"):
            roll_back(workspace, spec, APRIL, Run.new(), **{**wish, "request": "one"})


def test_a_withdrawn_partition_counts_as_refused(project: Project) -> None:
    with project.active() as workspace:
        spec, refs = project.context().dataset, workspace.references
        bad = project.published()[FEBRUARY]
    assert taken_back(project, FEBRUARY, withdraw=True).success
    with project.active() as workspace:
        assert list(data.refused_partitions(workspace, spec)) == [FEBRUARY]
        with pytest.raises(MissingReference):
            refs.load(f"{DATASET}/dataset", FEBRUARY)
        split = training.split(workspace, project.context(), _current(project), Run.new())
        assert split.refused == (FEBRUARY,), "it is trained without"
    outcome = project.ingest(FEBRUARY)
    assert "was withdrawn by ada" in outcome.error
    assert project.ingest(MARCH).success, "later months are built without it"
    assert project.reference(FEATURES, MARCH).refused == (FEBRUARY,)
    assert taken_back(project, FEBRUARY, to=bad[:10]).success
    assert project.published()[FEBRUARY] == bad


def _current(project: Project) -> dict[str, Any]:
    """References of features that were built from what is published, made anew where they are stale."""
    with project.active() as workspace:
        refs = workspace.references.all(FEATURES)
        context = project.context()
        wanted = {name: ref for name, ref in workspace.references.all(f"{DATASET}/dataset").items() if name != FEBRUARY}
        built = data.featurize(workspace, context.feature_set, context.dataset, wanted, Run.new())
        for ref in built.values():
            data.inspect_features(workspace, context.feature_set, context.dataset, ref, Run.new())
    return refs | built


def test_a_rollback_needs_a_reason_and_something_to_return_to(project: Project) -> None:
    with project.active() as workspace:
        spec = project.context().dataset
        with pytest.raises(PlatformError, match="give a name and a reason"):
            roll_back(workspace, spec, MARCH, Run.new(), reason=" ")
        with pytest.raises(PlatformError, match="no content before the present one"):
            roll_back(workspace, spec, MARCH, Run.new(), reason="r")
        with pytest.raises(PlatformError, match="not both"):
            roll_back(workspace, spec, MARCH, Run.new(), reason="r", to="a", withdraw=True)
        assert workspace.ledger.entries(kind="rollback") == []


GATES = [{"gate": "disjoint"}, {"gate": "time_order"}, {"gate": "performance", "metric": "auc", "min": 0.5}]


def test_users_of_a_dataset_are_found_from_commit_and_content(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project", declared(models={MODEL: {"gates": GATES}}))
    with project.active() as workspace:
        context, run = project.context(), Run.new()
        manifest = training.split(workspace, context, workspace.references.all(FEATURES), run)
        training.inspect_split(workspace, context, manifest, run)
        report = evaluation.evaluate(workspace, context, training.fit(workspace, context, manifest, run), run)
        inspections.inspect_evaluation(workspace, context, report, run)
        version = registration.register(workspace, context, report, run)
        workspace.registry.set_alias(MODEL, "champion", version.version)
        held = batches.published(workspace.store, DATASET)
        for partition, part in ((JANUARY, "train"), (APRIL, "holdout")):
            (use,) = uses(workspace, [MODEL], [held[partition].sha256[:10]], Parts())
            assert (use.model, use.version, use.aliases) == (MODEL, version.version, ("champion",))
            assert use.parts[part] == (partition,)
            commit = workspace.store.resolve(batches.batch_tag(DATASET, partition, held[partition].sha256))
            assert contents(workspace.store, commit) == {held[partition].sha256: held[partition].path}
        (past,) = uses(workspace, [MODEL], [held[JANUARY].sha256], Parts())
        assert past.parts["history"] == (FEBRUARY, MARCH, APRIL)
        assert uses(workspace, [MODEL], ["f" * 64], Parts()) == []
        with pytest.raises(PlatformError, match="neither a commit or tag"):
            contents(workspace.store, "nonsense")
