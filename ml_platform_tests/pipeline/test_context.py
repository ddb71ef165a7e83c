"""What is edited after judging revokes what was said, and what was compared with does not."""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from ml_platform.cli.app import cli
from ml_platform.declarations import loading
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.pipeline import data, inspections, judging, published_verdicts
from ml_platform.pipeline.rollback import roll_back
from ml_platform.pipeline.workspace import Workspace
from ml_platform.registry.evaluations import JSON_ARTIFACT
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MAY,
    MODEL,
    MONTHS,
    STEPS,
    copy_of,
    declared,
    gates,
    new_project,
    train,
)

SPLIT, MODEL_FILE, EVALUATION, REGISTERED = STEPS
SERVICE, DEPLOYMENT = f"{MODEL}/service", f"{MODEL}/deployment"
TILLS = '''
import pandera.polars as pa
import polars as pl

import till_limits
from grocery.defs.purchases.schema import Purchases


class Tills(Purchases):
    """Purchases as the tills send them."""

    @pa.dataframe_check(name="affordable")
    def affordable(cls, data):
        """Nothing costs more than the limit."""
        return data.lazyframe.select(pl.col("price") <= till_limits.LARGEST)

    class Config:
        strict = True
'''
SOUND, ABSURD = "LARGEST = 1000.0\n", "LARGEST = 0.001\n"

Edit = Callable[[str], None]


@pytest.fixture(scope="module")
def edit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Write the helper module that the schema imports, as a process finds it that is started afterwards."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "till_schema.py").write_text(TILLS)
    sys.path.insert(0, str(folder))

    def write(limits: str) -> None:
        (folder / "till_limits.py").write_text(limits)
        for name in ("till_schema", "till_limits"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    write(SOUND)
    yield write
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def tills(edit: Edit, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A shop whose schema is the one above: four months published, with a split; May staged and judged."""
    catalogue = declared(dataset={"schema": "till_schema:Tills"})
    project = new_project(tmp_path_factory.mktemp("tills") / "project", catalogue, arrived=MONTHS)
    outcome = project.ingest(JANUARY, APRIL)
    assert outcome.success, outcome.error
    assert project.materialize(SPLIT).success
    staged = project.materialize(f"{DATASET}/batch", partition=MAY, checks=None)
    assert staged.success and not staged.failed(f"{DATASET}/batch", MAY), staged.error
    return project


def status(project: Project, monkeypatch: pytest.MonkeyPatch, file: Path) -> tuple[str, Mapping[str, Any]]:
    """What ``ml-platform status`` prints, and what it writes."""
    monkeypatch.setattr(loading, "project_catalogue", lambda: project.catalogue)
    with project.active():
        shown = typer.testing.CliRunner().invoke(cli, ["status", "--json", str(file)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    return shown.output, json.loads(file.read_text())["standing"][DATASET]


def head(project: Project) -> str:
    with project.active() as workspace:
        return workspace.ledger.head()


def test_a_schema_that_every_row_breaks(
    tills: Project, edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tills.published()
    shown, now = status(tills, monkeypatch, tmp_path / "status.json")
    assert (now["failing"], now["let_in"], now["unjudged"]) == ({}, {}, [])
    # What has nothing to compare with has said nothing: that it passed is not all that there is to know.
    assert list(now["uncompared"]) == [JANUARY] and "referential" in now["uncompared"][JANUARY]
    assert f"{DATASET} {JANUARY}: {now['uncompared'][JANUARY]}" in " ".join(shown.split())
    edit(ABSURD)
    try:
        # Judged as sound, under a schema that is another now: the step judges it again by itself.
        alone = tills.materialize(f"{DATASET}/dataset", partition=MAY)
        assert not alone.success and "Refused" in alone.error and "rules failed" in alone.error
        assert tills.published() == before, "what is published stays"
        assert status(tills, monkeypatch, tmp_path / "status.json")[1]["unjudged"] == list(MONTHS[:4])
        again = tills.materialize(SPLIT)
        assert not again.success and not again.materialized
        assert f"{DATASET}/batch/{JANUARY}" in again.error and "rules failed" in again.error
        assert "It stays published, and no split is made with it" in again.error and "--withdraw" in again.error
        shown, now = status(tills, monkeypatch, tmp_path / "status.json")
        assert now["failing"] == {month: ["rules"] for month in MONTHS[:4]}
        assert f"{DATASET} {JANUARY} is published and would fail now: rules" in shown
    finally:
        edit(SOUND)
    # The edit is taken back: what was said before counts again, without a word more.
    last = head(tills)
    assert tills.materialize(SPLIT).success
    assert tills.materialize(f"{DATASET}/dataset", partition=MAY).success
    with tills.active() as workspace:
        assert not [one for one in workspace.ledger.log(newest=1) if one.kind == "verdict"]
    assert head(tills) != last, "the publication of May is news"


def test_going_back_to_what_was_live_needs_no_verdict_of_now(tills: Project, edit: Edit) -> None:
    first = tills.published()[APRIL]
    tills.batches.deliver(APRIL, change=lambda frame: frame.head(frame.height - 30))
    assert tills.ingest(APRIL).success and tills.published()[APRIL] != first
    edit(ABSURD)
    try:
        with tills.active() as workspace:
            done = roll_back(workspace, tills.context().dataset, APRIL, Run.new(), reason="wrong")
        assert done.current == first == tills.published()[APRIL]
    finally:
        edit(SOUND)


def test_what_a_person_let_in_stays_usable_and_is_named(
    four_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = declared(dataset={"gates": [{"gate": "volume", "min": 0.9, "max": 1.1}]})
    project = copy_of(four_months, tmp_path / "project", strict, ML_PLATFORM_NOW="2024-07-01T00:00:00+00:00")
    project.batches.deliver(MARCH, change=lambda frame: frame.head(frame.height // 2))
    refused = project.ingest(MARCH)
    assert not refused.success
    with project.active() as workspace:
        (verdict,) = workspace.ledger.refused(f"{DATASET}/batch/")[f"{DATASET}/batch/{MARCH}"]
        who = {"by": "ann", "reason": "the till was repaired", "days": 1}
        workspace.ledger.override(verdict, **who, run_id="run", provenance=Run.new().provenance)
    assert project.materialize(f"{DATASET}/dataset", partition=MARCH).success
    assert project.materialize(FEATURES, partition=MARCH, checks=None).success
    assert project.materialize(FEATURES, partition=APRIL, checks=None).success
    later = project.variant(strict, ML_PLATFORM_NOW="2024-08-01T00:00:00+00:00")
    split = later.materialize(SPLIT)
    assert split.success, split.error
    shown, now = status(later, monkeypatch, tmp_path / "status.json")
    assert now["let_in"] == {MARCH: ["volume"]} and now["failing"] == {}
    assert f"{MARCH} is published, since a person let it pass volume" in shown


def with_threshold(threshold: float) -> Catalogue:
    """The model with a gate on what it decides."""
    found = [*gates(), {"gate": "performance", "metric": "recall", "min": 0.05}]
    return declared(models={MODEL: {"decision_threshold": threshold, "gates": found}})


@pytest.fixture(scope="module")
def deciding(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A shop with a registered version that decides at 0.25, and its package."""
    folder = tmp_path_factory.mktemp("deciding") / "project"
    project = copy_of(with_models, folder, with_threshold(0.25))
    train(project)
    packaged = project.materialize(SERVICE)
    assert packaged.success, packaged.error
    return project


def test_a_threshold_at_which_nothing_is_found(deciding: Project) -> None:
    blind = deciding.variant(with_threshold(0.9))
    for step in (SERVICE, DEPLOYMENT, REGISTERED):
        alone = blind.materialize(step)
        assert not alone.success and not alone.materialized, step
        assert "performance_recall failed" in alone.error, alone.error
    # The package of before is not judged under the new declaration either: it decides at 0.25.
    checked = blind.materialize(checks=[f"{SERVICE}/servability", f"{SERVICE}/skew", f"{SERVICE}/bad_input"])
    assert "servability" in checked.failed(SERVICE)
    reason = checked.checks[SERVICE, None, "servability"].description or ""
    assert "was packaged under other declarations or code; materialize returned/service again" in reason
    # Taken back, the model and its package are what they were; the gates take back their rejection.
    assert deciding.materialize(REGISTERED).success
    assert deciding.materialize(SERVICE).success


def test_an_evaluation_that_was_exchanged_is_made_anew(deciding: Project) -> None:
    report = deciding.reference(EVALUATION)
    with deciding.active() as workspace:
        # Kept may be one of other declarations, which the gates do not take either.
        inspections.inspect_evaluation(workspace, deciding.context(), report, Run.new())
        real = json.loads(workspace.tracking.read_artifact(report.mlflow_run_id, JSON_ARTIFACT))
        forged = {**real, "metrics": {**real["metrics"], "auc": 0.8}}
        workspace.tracking.log_artifact(report.mlflow_run_id, JSON_ARTIFACT, json.dumps(forged))
        verdicts = inspections.inspect_evaluation(workspace, deciding.context(), report, Run.new())
        judged = {verdict.gate: verdict for verdict in verdicts}
        assert judged["performance_auc"].observed == pytest.approx(real["metrics"]["auc"])
        assert judged["performance_auc"].compared["evaluation"] == report.evaluation
        assert json.loads(workspace.tracking.read_artifact(report.mlflow_run_id, JSON_ARTIFACT)) == real


def test_a_model_of_another_target_is_refused_as_such(deciding: Project) -> None:
    # The same task, so that only the declaration tells that it answers another question.
    other = declared(models={MODEL: {"target": "delivery_days"}})
    alone = deciding.variant(other).materialize(SERVICE)
    assert not alone.success and "was trained under other declarations: target" in alone.error


def verdicts_on(workspace: Workspace, project: Project, month: str) -> dict[str, Verdict]:
    spec = project.context().dataset
    name = f"{spec.prefix}{month}"
    return workspace.ledger.judged({name: project.published()[month]}, judging.batch_gates(workspace, spec))[name]


def test_a_corrected_january_revokes_nothing_of_february(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project")
    first = project.published()[JANUARY]
    with project.active() as workspace:
        february = verdicts_on(workspace, project, FEBRUARY)
        assert february["volume"].compared == {JANUARY: first}
        assert february["duplicates"].compared == {}, "a gate that compares with nothing names nothing"
    project.batches.deliver(JANUARY, change=lambda frame: frame.head(frame.height - 30))
    assert project.ingest(JANUARY).success and project.published()[JANUARY] != first
    with project.active() as workspace:
        spec = project.context().dataset
        gates, name = judging.batch_gates(workspace, spec), f"{spec.prefix}{FEBRUARY}"
        assert workspace.ledger.require(project.published()[FEBRUARY], gates, subject_name=name)
        assert published_verdicts.standing(workspace, spec).unjudged == []


def test_an_override_holds_in_the_context_of_its_verdict_only(four_months: Path, tmp_path: Path) -> None:
    strict = declared(dataset={"gates": [{"gate": "volume", "min": 0.9, "max": 1.1}]})
    project = copy_of(four_months, tmp_path / "project", strict)
    project.batches.deliver(MAY, change=lambda frame: frame.head(frame.height // 2))
    with project.active() as workspace:
        spec, run = project.context().dataset, Run.new()
        ref = data.ingest(workspace, spec, MAY, run)
        (verdict,) = data.audit(workspace, spec, ref, run)
        who = {"by": "ann", "reason": "a holiday", "days": 1}
        workspace.ledger.override(verdict, **who, run_id=run.id, provenance=run.provenance)
        other = spec.model_copy(update={"key": ("order_id",)})
        with pytest.raises(Refused, match="volume failed"):
            data.publish(workspace, other, ref, run)
        assert data.publish(workspace, spec, ref, run).sha256 == ref.sha256


def test_files_beside_the_schema_are_part_of_the_context(edit: Edit, tills: Project) -> None:
    folder = Path(sys.path[0])

    def context() -> str:
        with tills.active() as workspace:
            return judging.batch_gates(workspace, tills.context().dataset)[0].context

    before = context()
    (folder / "products.csv").write_text("apple\npear\n")
    listed = context()
    (folder / "products.csv").write_text("apple\nplum\n")
    assert len({before, listed, context()}) == 3
    (folder / "products.csv").unlink()
    assert context() == before


def test_the_code_of_a_gate_of_ones_own_is_part_of_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = (
        "from ml_platform.gates.gate import Measurement, kind\n"
        "@kind('cheap', 'batch', 'Nothing is dear', needs=('max',))\n"
        "def cheap(evidence, gate):\n    return Measurement(FACTOR * 1.0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for factor in ("1", "22"):
        (tmp_path / "own_gate.py").write_text(f"FACTOR = {factor}\n{own}")
        importlib.invalidate_caches()
        found.append(Gate(gate="own_gate:cheap", max=1).within("context").context)
    assert len(set(found)) == 2
