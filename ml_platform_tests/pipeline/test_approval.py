"""Where a person approves, a version waits for one; what a person decided no machine decides otherwise."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import approval, candidate, decisions
from ml_platform.pipeline.approval import decide, require_approved
from ml_platform.pipeline.registration import register
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef
from ml_platform.registry.registry import Registry
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, MODEL, STEPS, copy_of, declared, gates, lenient


def test_a_version_waits_for_a_person(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project", lenient(), ML_PLATFORM_APPROVAL="person")
    outcome = project.train()
    assert not outcome.success
    assert set(STEPS) == outcome.assets()
    version = project.reference(f"{MODEL}/registered_model")
    assert version.approval == "pending"
    assert not project.entries(kind="approval") and len(project.entries(kind="registration")) == 1
    alone = project.materialize(f"{MODEL}/service")
    assert "Refused" in alone.error and f"{MODEL} version 1 is pending, not approved" in alone.error
    assert not alone.materialized

    with project.active() as workspace:
        context = project.context()
        # A hand in the registry approves nothing.
        workspace.registry.set_approval(MODEL, 1, "approved", by="nobody", reason="a shortcut")
        with pytest.raises(Refused, match="registry says approved, the ledger says pending by gates; decide again"):
            require_approved(workspace, context, version, Run.new())
    # Nor does a registration after it, which takes the word of no tag.
    assert project.materialize(STEPS[-1]).success
    assert not project.entries(kind="approval")
    page = project.materializations(STEPS[-1])[-1].metadata
    assert page["approval"].value == "pending"
    with project.active() as workspace:
        with pytest.raises(Refused, match="is pending, not approved"):
            require_approved(workspace, context, version, Run.new())
        decide(workspace, context, version, "rejected", by="ann", reason="wrong year", run=Run.new())
        with pytest.raises(Refused, match="is rejected, not approved"):
            require_approved(workspace, context, version, Run.new())
        decide(workspace, context, version, "approved", by="ann", reason="right year after all", run=Run.new())
        require_approved(workspace, context, version, Run.new())
    # A second registration of the same model does not take the decision back.
    assert project.materialize(STEPS[-1]).success
    assert project.reference(STEPS[-1]).approval == "approved"


def said(project: Project) -> tuple[str, str]:
    """What is in force, by ledger and registry together, and by whom."""
    with project.active() as workspace:
        found = approval.standing(workspace, workspace.registry.get(MODEL, 1))
        newest = candidate.newest(workspace, project.context())
        assert newest is not None
        # One thing is said wherever it is said.
        assert (newest.status, newest.by) == (found.status, found.by)
        return found.status, found.by


def decided(project: Project, status: Literal["approved", "rejected"], by: str, reason: str = "seen") -> None:
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        decide(workspace, project.context(), version, status, by=by, reason=reason, run=Run.new())


@pytest.fixture
def automatic(with_models: Path, tmp_path: Path) -> Project:
    """A project in which version 1 was approved by its gates."""
    return copy_of(with_models, tmp_path / "project")


def test_what_a_person_rejected_the_machine_never_approves(automatic: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(automatic) == ("approved", "gates")
    decided(automatic, "rejected", "ann")
    # Another commit of the code: an equal decision of the machine would be news for the ledger.
    elsewhere = Run.new().provenance.model_copy(update={"code_commit": "0" * 40})
    with monkeypatch.context() as patch:
        patch.setattr(Run, "new", lambda *_, **__: Run("another", elsewhere))
        assert automatic.materialize(*STEPS, checks=None).success
    alone = automatic.materialize(f"{MODEL}/service")
    assert "version 1 is rejected, not approved (ann: seen)" in alone.error
    assert said(automatic) == ("rejected", "ann")
    last = max(automatic.entries(), key=lambda entry: entry.sequence if entry.kind in decisions.OUTCOMES else 0)
    assert (last.kind, last.body["by"]) == ("rejection", "ann")
    # A person may approve it again by name, also with the words of the first time.
    decided(automatic, "approved", "bob")
    assert said(automatic) == ("approved", "bob")
    decided(automatic, "rejected", "ann")
    assert said(automatic) == ("rejected", "ann")
    decided(automatic, "approved", "bob")
    assert said(automatic) == ("approved", "bob")


def test_a_ledger_in_which_the_machine_had_the_last_word_says_what_the_person_said(automatic: Project) -> None:
    decided(automatic, "rejected", "ann")
    with automatic.active() as workspace:
        version, run = workspace.registry.get(MODEL, 1), Run.new()
        # As releases before this one wrote it.
        workspace.ledger.decide(
            "approval",
            subject=version.sha256,
            subject_name=f"{MODEL}/model",
            body={"by": "gates", "manifest": "of an earlier release"},
            run_id=run.id,
            provenance=run.provenance,
        )
    assert said(automatic) == ("rejected", "ann")


def test_a_decision_is_written_once_and_says_what_it_replaces(automatic: Project) -> None:
    for _ in range(2):
        decided(automatic, "rejected", "ann")
    (rejection,) = automatic.entries(kind="rejection")
    decided(automatic, "approved", "bob")
    *_, approved = automatic.entries(kind="approval")
    said_with_it = approved.body.pop("declared")
    assert f"{MODEL}/evaluation" in said_with_it["gates"]
    assert approved.body == {"by": "bob", "because": "seen", "version": 1, "replaces": rejection.sequence}


def test_a_rejection_counts_although_the_registry_is_away(automatic: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise PlatformError("MLflow is away")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "set_approval", away)
        with pytest.raises(PlatformError, match="MLflow is away"):
            decided(automatic, "rejected", "ann")
    assert said(automatic) == ("rejected", "ann")
    decided(automatic, "rejected", "ann")
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "set_approval", away)
        with pytest.raises(PlatformError, match="MLflow is away"):
            decided(automatic, "approved", "bob")
    # An approval counts once both have it.
    with automatic.active() as workspace, pytest.raises(Refused, match="is rejected, not approved"):
        require_approved(workspace, automatic.context(), workspace.registry.get(MODEL, 1), Run.new())
    decided(automatic, "approved", "bob")
    assert said(automatic) == ("approved", "bob")
    assert len(automatic.entries(kind="approval", subject_name=f"{MODEL}/model")) == 2


def test_nobody_decides_in_the_name_of_the_machine_or_without_a_name(automatic: Project) -> None:
    for by, reason in ((" ", "seen"), ("ann", " "), ("gates", "seen"), ("Gates ", "seen")):
        with pytest.raises(PlatformError, match="name"):
            decided(automatic, "rejected", by, reason)
    assert not automatic.entries(kind="rejection")


def test_decisions_on_a_model_are_not_those_of_one_whose_name_is_like_it(settings: Settings) -> None:
    workspace, run = Workspace(settings), Run.new()
    for model in ("a_b", "axb", "A_B"):
        refusal = Refused("refused", because=f"of {model}")
        reference = ModelRef.model_construct(model=model, sha256="0" * 64)
        approval.reject(workspace, reference, refusal, [failed()], run)
    assert [one.reason for one in decisions.decisions(workspace, "a_b", "0" * 64)] == ["of a_b"]


def failed() -> Verdict:
    return Verdict(
        gate="performance_auc",
        stage="evaluation",
        subject="0" * 64,
        subject_name="a_b/model",
        status="failed",
        blocking=True,
        observed=0.1,
        threshold="at least 0.5",
        declaration="",
        reason="",
    )


def of_another_holdout(project: Project, setting: Literal["automatic", "person"]) -> Project:
    """Correct the month that is held out, so that equal bytes come from another split, and register them."""
    project.batches.deliver(APRIL, change=lambda frame: frame.head(frame.height - 40))
    assert project.ingest(APRIL).success
    now = replace(project, environment={"ML_PLATFORM_APPROVAL": setting})
    assert now.materialize(*STEPS, checks=None).success
    return now


def versions(project: Project) -> list[tuple[str, str, str]]:
    """Of each version, which are of equal bytes, what registry and ledger say, and who."""
    with project.active() as workspace:
        found = workspace.registry.versions(MODEL)
        assert len({one.sha256 for one in found}) == 1 and len({one.model_ref.manifest_sha256 for one in found}) == 2
        held = [(one, approval.standing(workspace, one)) for one in sorted(found, key=lambda one: one.version)]
        return [(one.approval, decision.status, decision.by) for one, decision in held]


@pytest.mark.slow
def test_equal_bytes_of_a_model_that_a_person_approved_pass_by_their_gates(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project", lenient(), ML_PLATFORM_APPROVAL="person")
    project.train()
    decided(project, "approved", "bob")
    project = of_another_holdout(project, "automatic")
    assert versions(project) == [("approved", "approved", "gates")] * 2
    entries = len(project.entries())
    assert project.materialize(STEPS[-1]).success
    assert len(project.entries()) == entries and len(versions(project)) == 2


@pytest.mark.slow
def test_equal_bytes_that_wait_for_a_person_take_no_approval_back(automatic: Project) -> None:
    project = of_another_holdout(automatic, "person")
    assert versions(project) == [("approved", "approved", "gates"), ("pending", "pending", "gates")]
    with project.active() as workspace:
        two = approval.standing(workspace, workspace.registry.get(MODEL, 2))
    assert two.reason == "every gate passed; waits for a person"


#: Gates that any model of few months passes, but for the comparison with the champion.
LENIENT = gates(performance={"min": 0.3}, baseline={"min": -0.5})


@pytest.mark.parametrize(
    "registered",
    [
        pytest.param(True, id="approved by a person"),
        pytest.param(False, id="registered by a run", marks=pytest.mark.slow),
    ],
)
def test_a_candidate_is_compared_with_the_champion_of_now_before_it_is_approved(
    four_months: Path, tmp_path: Path, registered: bool
) -> None:
    """Two candidates wait; the better one goes live, and then somebody takes the other."""
    way = "person" if registered else "automatic"
    weak = declared(models={MODEL: {"parameters": {"rounds": 1, "max_depth": 1}, "gates": LENIENT}})
    project = copy_of(four_months, tmp_path / "project", weak, ML_PLATFORM_APPROVAL=way)
    steps = STEPS if registered else STEPS[:-1]
    assert project.materialize(*steps, checks=None).success
    first = [one for one in project.entries(kind="verdict") if one.body["gate"] == "champion_auc"]
    assert first[-1].body["status"] == "passed" and first[-1].body["observed"] is None, "there was none"
    references = {name: project.reference(name) for name in steps}
    better = project.variant(declared(models={MODEL: {"gates": LENIENT}}))
    assert better.materialize(*STEPS, checks=None).success
    with project.active() as workspace:
        newest = workspace.registry.latest(MODEL)
        assert newest is not None
        workspace.registry.set_alias(MODEL, "champion", newest.version)
        context, run = project.context(), Run.new()
        with pytest.raises(Refused, match="champion_auc failed"):
            if registered:
                decide(workspace, context, workspace.registry.get(MODEL, 1), "approved", by="a", reason="b", run=run)
            else:
                register(workspace, context, references[STEPS[2]], run)
        # Its twin is compared with nothing but itself.
        if registered:
            decide(workspace, better.context(), newest, "approved", by="a", reason="b", run=run)
