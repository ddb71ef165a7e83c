"""Steps behind a gate that are started alone, as from the UI, act only on what was judged and passed itself."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ml_platform.foundation.errors import MissingReference, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import judge
from ml_platform.gates.service import ServiceEvidence
from ml_platform.pipeline import release
from ml_platform.pipeline.judging import model_context, model_gates
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout.record import Backend, RolloutRecord
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import GATES, MODEL, PARAMETERS, STEPS, copy_of, declared, gates, train

SERVICE, DEPLOYMENT = f"{MODEL}/service", f"{MODEL}/deployment"
REGISTERED = STEPS[-1]
MISSING = ("servability missing", "skew missing", "bad_input missing")
FINE = ServiceEvidence("", 1.0, 20, 500, 0, 0.0, (), 5)


@pytest.fixture(scope="module")
def shop(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a registered model and its package, which no gate has judged."""
    project = copy_of(with_models, tmp_path_factory.mktemp("alone") / "project")
    packaged = project.materialize(SERVICE)
    assert packaged.success, packaged.error
    return project


def assert_refused(project: Project, step: str, *gates: str) -> None:
    """The step alone names the gates and makes nothing."""
    alone = project.materialize(step)
    assert not alone.success and not alone.materialized
    assert "Refused" in alone.error
    for gate in gates:
        assert gate in alone.error, alone.error
    with project.active() as workspace, pytest.raises(MissingReference):
        workspace.rollouts.load(MODEL)


def passed(project: Project, service: ServiceRef) -> None:
    """Verdicts on a package as a service that answers gets them."""
    with project.active() as workspace:
        run = Run.new()
        gates = model_gates(workspace, project.context(), "service")
        verdicts = judge(gates, FINE, subject=service.sha256, subject_name=SERVICE)
        assert all(verdict.passed for verdict in verdicts)
        workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)


def test_a_package_that_was_not_judged_is_not_deployed(shop: Project) -> None:
    assert_refused(shop, DEPLOYMENT, *MISSING)


def test_a_reference_that_was_edited_deploys_nothing_else(shop: Project, tmp_path: Path) -> None:
    """A reference is a file: what it says of a package is held against the ledger and the package itself."""
    run, ref = Run.new(), shop.reference(SERVICE)
    passed(shop, ref)
    loud = shop.variant(declared(models={MODEL: {"decision_threshold": 0.9}}))
    with loud.active() as workspace:
        context = loud.context()
        now = model_context(workspace, context)
        gates = model_gates(workspace, context, "service")
        # Whatever a hand wrote there and had judged: the ledger knows in which context it was packaged.
        edited = ref.model_copy(update={"context": now})
        workspace.ledger.record(
            judge(gates, FINE, subject=ref.sha256, subject_name=SERVICE), run_id=run.id, provenance=run.provenance
        )
        assert "was packaged under other declarations" in release.outdated(workspace, context, edited)
    with shop.active() as workspace:
        context = shop.context()
        assert release.outdated(workspace, context, ref) == ""
        gone: list[Backend] = []
        told = lambda *given, **_: gone.append(given[2])  # noqa: E731
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(release, "go_live", told)
            elsewhere = ref.model_copy(update={"path": str(tmp_path), "tag": "other:1", "model_sha256": "0" * 64})
            with pytest.raises(ValidationError):
                release.deploy(workspace, context, elsewhere, run)
            assert [(one.path, one.tag, one.sha256) for one in gone] == [(ref.path, ref.tag, ref.sha256)]
        package = workspace.settings.local / ref.path
        file = next(package.rglob("package.json"), None) or next(package.rglob("history.parquet"))
        content = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(content + b" ")
        try:
            with pytest.raises(Refused, match=r"there is no package .*, or it was changed"):
                release.deploy(workspace, context, ref, run)
        finally:
            file.write_bytes(content)


def test_a_deployment_writes_what_is_declared_of_its_rollout(shop: Project) -> None:
    """The supervisor reads no declarations: steps, and gates on copies in their context, are in the record."""
    copies = {"gate": "shadow", "metric": "decisions", "max": 0.05}
    steps = [{"shadow": 100, "requests": 50}, {"weight": 10, "requests": 20}]
    careful = shop.variant(declared(models={MODEL: {"gates": [*GATES, copies], "rollout": {"steps": steps}}}))
    ref, records = careful.reference(SERVICE), list[RolloutRecord]()
    passed(careful, ref)

    def begun(
        _: object, model: str, backend: Backend, __: object, change: Any, *, by: str, why: str, **___: Any
    ) -> str:
        # Beside a version that answers: the first one of a model has nothing to be compared with.
        stable = backend.model_copy(update={"sha256": "0" * 64, "tag": f"{model}:v0-000000000000"})
        records.append(change(RolloutRecord(model=model, stable=stable), by=by, why=why))
        return ""

    with careful.active() as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "go_live", begun)
        release.deploy(workspace, careful.context(), ref, Run.new())
        (gate,) = model_gates(workspace, careful.context(), "shadow")
    (record,) = records
    assert [(step.shadow, step.weight, step.requests) for step in record.strategy] == [(100, 0, 50), (0, 10, 20)]
    (kept,) = record.gates
    assert kept.declared == copies | {"name": "shadow_decisions"} and kept.context == gate.context
    assert record.candidate is not None and record.candidate.sha256 == ref.sha256


def test_verdicts_on_another_package_do_not_count(shop: Project) -> None:
    before = shop.reference(SERVICE)
    passed(shop, before)
    changed = shop.variant(declared(models={MODEL: {"parameters": {**PARAMETERS, "rounds": 41}}}))
    train(changed)
    assert changed.materialize(SERVICE).success
    assert changed.reference(SERVICE).sha256 != before.sha256
    assert_refused(changed, DEPLOYMENT, *MISSING)


def test_a_model_whose_gate_fails_later_is_neither_packaged_nor_deployed(shop: Project) -> None:
    passed(shop, shop.reference(SERVICE))
    stricter = shop.variant(declared(models={MODEL: {"gates": gates(performance={"min": 0.95})}}))
    for step in (SERVICE, DEPLOYMENT):
        # The step judges the model again by itself: what stands in the ledger was said under another declaration.
        assert_refused(stricter, step, "performance_auc failed: auc is")
    judged = stricter.materialize(STEPS[2], checks=None)
    assert judged.failed(STEPS[2]) == {"performance_auc"}
    for step in (REGISTERED, SERVICE, DEPLOYMENT):
        assert_refused(stricter, step, "performance_auc failed")
