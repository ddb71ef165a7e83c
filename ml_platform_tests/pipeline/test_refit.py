"""A model that passed is trained once more on everything up to the newest label: that one is registered and answers."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.datasets import batches
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import (
    alerts,
    approval,
    candidate,
    champions,
    drift,
    evaluation,
    expecting,
    inspections,
    lineage,
    refit,
    refit_verdicts,
    registration,
    training,
)
from ml_platform.pipeline.backlog import training_outcome
from ml_platform.pipeline.recorded_evaluations import kept
from ml_platform.pipeline.release import holdout_sample
from ml_platform.pipeline.rollback import roll_back
from ml_platform.pipeline.trial import Trial
from ml_platform.pipeline.why import why
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, ModelRef, VersionRef
from ml_platform.training.split import refitted
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    FEATURES,
    GATES,
    MARCH,
    MAY,
    MODEL,
    MONTHS,
    PARAMETERS,
    STEPS,
    copy_of,
    declared,
    gates,
)

pytestmark = pytest.mark.slow

SPLIT: dict[str, Any] = {"holdout": 1, "refit": True}
AGREEMENT: dict[str, Any] = {"gate": "agreement", "metric": "correlation", "min": 0.6}
#: Gates of the evaluation that judge a refit as well, and one of the same kind that cannot.
BORROWED = [
    {"gate": "model_size", "max": 1_000_000},
    {"gate": "monotonic", "increasing": ["return_rate_product"], "max": 0.9},
    {"gate": "robustness", "metric": "worst_case_flipped", "max": 0.9},
    {"gate": "trained_on"},
]
LABELLED = {"gate": "robustness", "metric": "missing_loss", "max": 0.5}
REFIT = f"{MODEL}/refit"
WITH_REFIT = (*STEPS[:3], REFIT, STEPS[3])


def refitting_shop(split: dict[str, Any] | None = None, **changes: Any) -> Any:
    """The shop whose model is refitted."""
    few = [*GATES, AGREEMENT, *BORROWED, LABELLED]
    return declared(models={MODEL: {"split": {**SPLIT, **(split or {})}, "gates": few, **changes}})


@pytest.fixture
def shop(with_models: Path, tmp_path: Path) -> Project:
    """January to April are published, version 1 was registered without a refit; then one was declared."""
    return copy_of(with_models, tmp_path / "project", refitting_shop())


def run_all(project: Project) -> VersionRef:
    outcome = project.materialize(*WITH_REFIT, checks=None)
    assert outcome.success, outcome.error
    return project.reference(STEPS[3])


def partitions(entries: Any) -> list[str]:
    return [entry.partition for entry in entries]


def test_the_refit_is_registered_with_the_judged_model_beside_it(shop: Project) -> None:
    before = shop.reference(STEPS[1])
    outcome = shop.materialize(*WITH_REFIT, checks=None)
    assert outcome.success, outcome.error
    version, judged, found = (shop.reference(name) for name in (STEPS[3], STEPS[1], REFIT))
    # The training of before is adopted; its recipe is the one of now.
    assert judged == before and judged.recipe == "" and found.recipe
    assert (version.version, version.sha256, version.model_ref) == (2, found.sha256, found)
    assert found.judged == judged and found.sha256 != judged.sha256
    assert partitions(judged.split.train) == [*MONTHS[:3]] and partitions(judged.split.holdout) == [APRIL]
    assert partitions(found.split.train) == [*MONTHS[:4]] and found.split.holdout == ()
    assert found.manifest_sha256 == found.split.sha256 != judged.split.sha256 == found.split.refits
    with shop.active() as workspace:
        assert workspace.registry.get(MODEL, 2).model_ref == found
        assert approval.standing(workspace, version).said == "approved"
        assert approval.standing(workspace, workspace.registry.get(MODEL, 1)).said == "approved"
        newest = candidate.newest(workspace, shop.context())
        assert newest is not None and (newest.sha256, newest.status) == (found.sha256, "approved")
        assert why(workspace, shop.catalogue, f"{MODEL}@2").state == "approved, not live"
    names = {name for (asset, _, name) in outcome.checks if asset == REFIT}
    assert names == {"agreement_correlation", "model_size", "monotonic", "robustness_worst_case_flipped", "trained_on"}


def test_again_gives_the_same_and_nothing_new(shop: Project) -> None:
    first = run_all(shop)
    before = shop.holdings()
    assert run_all(shop) == first
    after = shop.holdings()
    assert (after.versions, after.ledger, after.mlflow_runs) == (before.versions, before.ledger, before.mlflow_runs)


def test_the_card_says_whose_the_metrics_are(shop: Project) -> None:
    version = run_all(shop)
    with shop.active() as workspace:
        card, judged = workspace.registry.card(version), version.model_ref.evaluated
        assert "This is a refit" in card and f"judged model {judged.sha256[:12]}" in card
        assert "was judged on 1,500 rows of 2024-04-01" in card.replace("1,499", "1,500")
        assert "| agreement_correlation | passed |" in card
        measured = kept(workspace, judged)
        assert f"| auc | {measured.metrics['auc']:.4g} |" in card
        # A person's decision writes it again.
        approval.decide(workspace, shop.context(), version, "rejected", by="ann", reason="no", run=Run.new())
        assert "| rejected | ann | no |" in workspace.registry.card(version)
        assert approval.standing(workspace, workspace.registry.get(MODEL, 2)).said == "rejected by ann"
        assert approval.standing(workspace, workspace.registry.get(MODEL, 1)).said == "approved"


@pytest.mark.parametrize(
    ("split", "train", "between", "holdout", "learned"),
    [
        ({"gap": 1}, MONTHS[:2], [MARCH], [APRIL], MONTHS[:4]),
        ({"train": 2}, MONTHS[1:3], [], [APRIL], MONTHS[2:4]),
        ({"label_delay": 30}, MONTHS[:2], [], [MARCH], MONTHS[:3]),
    ],
    ids=["the gap too", "a window moves on", "no further than labels"],
)
def test_what_it_learns_from(
    with_models: Path, tmp_path: Path, split: dict[str, Any], train: Any, between: Any, holdout: Any, learned: Any
) -> None:
    project = copy_of(with_models, tmp_path / "project", refitting_shop(split))
    with project.active() as workspace:
        found = training.split(workspace, project.context(), workspace.references.all(FEATURES), Run.new())
    assert partitions(found.train) == [*train] and partitions(found.holdout) == [*holdout]
    assert partitions(found.between) == [*between]
    assert partitions(refitted(found, project.context().model.split).train) == [*learned]


def test_without_a_refit_nothing_is_otherwise(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "project", declared())
    known = [project.reference(name) for name in STEPS]
    outcome = project.materialize(*STEPS, checks=None)
    assert outcome.success, outcome.error
    assert [project.reference(name).sha256 for name in STEPS] == [one.sha256 for one in known]
    assert project.reference(STEPS[3]).version == 1


def broken(workspace: Workspace, change: pl.Expr, *, whole: bool) -> Workspace:
    """A workspace whose refit learns from other labels: of April, or once April is there of all months.

    The judged model is honest: it never reads April for its training.
    """
    sound = workspace.steps

    def frames(store: Any, entries: Any) -> Iterator[pl.DataFrame]:
        there = APRIL in partitions(entries)
        for entry, frame in zip(entries, sound.training_frames(store, entries), strict=True):
            yield frame.with_columns(change.alias(MODEL)) if there and (whole or entry.partition == APRIL) else frame

    return workspace.with_(steps=replace(sound, training_frames=frames))


def evaluated(workspace: Workspace, project: Project) -> Any:
    """The report of a candidate that passed."""
    context, run = project.context(), Run.new()
    split = training.split(workspace, context, workspace.references.all(FEATURES), run)
    training.inspect_split(workspace, context, split, run)
    report = evaluation.evaluate(workspace, context, training.fit(workspace, context, split, run), run)
    inspections.inspect_evaluation(workspace, context, report, run)
    return report


def test_a_refit_on_other_labels_is_refused_and_its_honest_twin_is_not(shop: Project) -> None:
    context, run = shop.context(), Run.new()
    with shop.active() as workspace:
        report = evaluated(workspace, shop)
        bad = refit.refit(broken(workspace, 1 - pl.col(MODEL), whole=True), context, report, run)
        verdicts = {one.gate: one for one in inspections.inspect_refit(workspace, context, bad, run)}
        assert not verdicts["agreement_correlation"].passed and not verdicts["trained_on"].passed
        assert verdicts["model_size"].passed and verdicts["agreement_correlation"].stage == "refit"
        assert verdicts["agreement_correlation"].compared["judged"] == report.sha256
        workspace.references.save(REFIT, "", bad)
        found = candidate.newest(workspace, context)
        assert found is not None and (found.status, found.sha256) == ("rejected", bad.sha256)
        assert "agreement_correlation failed" in found.reason
        answer = why(workspace, shop.catalogue, MODEL)
        assert "is rejected" in answer.state and any(
            "gate agreement_correlation failed" in one for one in answer.because
        )
        assert "the refit of the candidate trained up to" in training_outcome(
            workspace, context, report.model_ref.split
        )
        with pytest.raises(Refused, match="agreement_correlation failed"):
            registration.register(workspace, context, report, run, bad)
        assert [one.version for one in workspace.registry.versions(MODEL)] == [1]
        # The rejection is of that refit: the version of the judged model stays approved.
        assert approval.standing(workspace, workspace.registry.get(MODEL, 1)).said == "approved"


def test_a_refit_that_learned_other_labels_of_the_holdout_alone_is_seen_by_its_trees(shop: Project) -> None:
    context, run = shop.context(), Run.new()
    with shop.active() as workspace:
        report = evaluated(workspace, shop)
        faulty = broken(workspace, pl.col(MODEL).shuffle(7), whole=False)
        bad = refit.refit(faulty, context, report, run)
        verdicts = {one.gate: one for one in inspections.inspect_refit(workspace, context, bad, run)}
        assert not verdicts["trained_on"].passed


def test_a_refit_of_another_model_or_none_is_not_registered(shop: Project) -> None:
    context, run = shop.context(), Run.new()
    with shop.active() as workspace:
        report = evaluated(workspace, shop)
        with pytest.raises(Refused, match=f"{REFIT} was never made"):
            registration.register(workspace, context, report, run)
        found = refit.refit(workspace, context, report, run)
        other = found.model_copy(update={"judged": found.evaluated.model_copy(update={"run_id": "other"})})
        with pytest.raises(Refused, match="is of another model than was evaluated"):
            registration.register(workspace, context, report, run, other)
        with pytest.raises(Refused, match="agreement_correlation"):
            registration.register(workspace, context, report, run, found)


EDITS: dict[str, Callable[[ModelRef], ModelRef]] = {
    "judged by other rows": lambda one: one.model_copy(
        update={
            "judged": one.evaluated.model_copy(update={"split": one.evaluated.split.model_copy(update={"train": ()})})
        }
    ),
    "judged model": lambda one: one.model_copy(
        update={"judged": one.evaluated.model_copy(update={"sha256": "d" * 64})}
    ),
    "no refit": lambda one: one.model_copy(update={"judged": None}),
    "parameters": lambda one: one.model_copy(update={"parameters": {**one.parameters, "seed": 99}}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_reference_is_not_believed(shop: Project, edit: Callable[[ModelRef], ModelRef]) -> None:
    version, run = run_all(shop), Run.new()
    with shop.active() as workspace:
        reference = edit(version.model_ref)
        for act in (
            lambda: refit_verdicts.require(workspace, shop.context(), reference, run),
            lambda: inspections.inspect_refit(workspace, shop.context(), reference, run),
        ):
            with pytest.raises(PlatformError):
                act()


def test_another_recipe_is_no_refit(shop: Project) -> None:
    run = Run.new()
    with shop.active() as workspace:
        report = evaluated(workspace, shop)
        deeper = shop.variant(refitting_shop(parameters={**PARAMETERS, "max_depth": 2})).context()
        # Judged under the declarations of now, and still of another recipe.
        with pytest.raises(Refused, match="was trained by another recipe"):
            refit.refit(workspace, deeper, report, run)


def test_a_version_that_is_a_refit_needs_the_declaration(shop: Project) -> None:
    version = run_all(shop)
    with shop.active() as workspace, pytest.raises(Refused, match=r"is a refit, and split\.refit is not declared now"):
        approval.require_approved(workspace, shop.variant(declared()).context(), version, Run.new())


def test_both_are_judged_again_where_declarations_changed(shop: Project) -> None:
    version = run_all(shop)
    stricter = shop.variant(refitting_shop(gates=[*gates(performance={"min": 0.7}), {**AGREEMENT, "min": 0.5}]))
    with shop.active() as workspace:
        approval.require_approved(workspace, stricter.context(), version, Run.new())
        found = workspace.ledger.judgement(REFIT, version.sha256)["agreement_correlation"]
        assert found.threshold == "at least 0.5"
    refused = shop.variant(refitting_shop(gates=[*GATES, {**AGREEMENT, "min": 0.9999}]))
    with shop.active() as workspace, pytest.raises(Refused, match="agreement_correlation failed"):
        approval.require_approved(workspace, refused.context(), version, Run.new())


def test_recipe_is_compared_with_recipe(shop: Project) -> None:
    """The champion's refit has seen the new holdout; the model that it was judged by has not."""
    first = run_all(shop)
    with shop.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", first.version)
    shop.batches.deliver(MAY)
    outcome = shop.ingest(MAY)
    assert outcome.success, outcome.error
    second = run_all(shop)
    assert second.version == 3
    with shop.active() as workspace:
        judged = second.model_ref.evaluated
        evidence = kept(workspace, judged).champion
        assert evidence is not None and evidence.sha256 == first.model_ref.evaluated.sha256
        # Of May neither judged model has seen anything; the champion's refit ends in April and has not either.
        assert evidence.excluded == 0 and evidence.comparisons
        # Judged again as the champion itself, it is compared with the one before.
        workspace.registry.set_alias(MODEL, "champion", second.version)
        report = evaluation.evaluate(workspace, shop.context(), judged, Run.new())
        again = kept(workspace, report.model_ref).champion
        assert again is not None and again.sha256 == first.model_ref.evaluated.sha256
        verdict = workspace.ledger.judgement(REFIT, second.sha256)["agreement_correlation"]
        assert verdict.compared == {"judged": judged.sha256, "champion": first.sha256}


def test_a_live_refit_that_learned_from_a_withdrawn_month_is_told(shop: Project) -> None:
    """From April the judged model learned nothing: its refit did."""
    version = run_all(shop)
    with shop.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", version.version)
        context = shop.context()
        april = shop.published()[APRIL]
        taken = roll_back(workspace, context.dataset, APRIL, Run.new(), reason="wrong", withdraw=True, models=[MODEL])
        used = {one.version: one.parts for one in taken.used_by}
        assert used[2]["train"] == (APRIL,) and used[1]["holdout"] == (APRIL,)
        (told,) = alerts.learned_from(workspace, context, version)
        assert f"version 2 answers and learned from {APRIL}, which was withdrawn" in told.said
        assert [one.version for one in lineage.uses(workspace, [MODEL], [april], Parts())] == [1, 2]


def test_what_a_live_refit_leads_one_to_expect_is_said_by_the_judged_model(shop: Project) -> None:
    """Its own outputs for the holdout would be those of a model that knows the outcomes."""
    version = run_all(shop)
    with shop.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", version.version)
        with pytest.raises(MissingReference, match=f"nothing is published after {APRIL}"):
            drift.observe(workspace, shop.context())
    shop.batches.deliver(MAY)
    assert (outcome := shop.ingest(MAY)).success, outcome.error
    with shop.active() as workspace:
        context = shop.context()
        found = drift.observe(workspace, context)
        assert found is not None and list(found.outcomes) == [MAY] and found.unexpected == {}
        split = training.split(workspace, context, workspace.references.all(FEATURES), Run.new())
        gaps = expecting.of_split(workspace, context, split)
        assert list(gaps.partitions) == [MAY] and gaps.version == version.version
        judged = version.model_ref.evaluated
        frame = expecting.predicted(workspace, context, judged, batches.read(workspace.store, _features(workspace)))
        assert gaps.partitions[MAY] == expecting.gaps(workspace, context, judged, frame) == found.outcomes[MAY]


def _features(workspace: Workspace) -> DatasetRef:
    ref = workspace.references.load(FEATURES, MAY)
    assert isinstance(ref, DatasetRef)
    return ref


def test_rows_of_a_service_are_the_newest(shop: Project) -> None:
    version = run_all(shop)
    with shop.active() as workspace:
        raw, expected = holdout_sample(workspace, shop.context(), version)
        assert raw.height == len(expected) > 0 and str(raw[shop.context().function.time].min()) >= APRIL


def test_a_training_comes_to_its_end_with_the_version_of_its_refit(shop: Project) -> None:
    waiting = shop.variant(shop.catalogue, ML_PLATFORM_APPROVAL="person")
    version = run_all(waiting)
    with waiting.active() as workspace:
        split = version.model_ref.evaluated.split
        assert training_outcome(workspace, waiting.context(), split) == "version 2 is pending"
        workspace.references.forget(REFIT, "")
        assert training_outcome(workspace, waiting.context(), split) == ""


def test_a_trial_refits_too(shop: Project) -> None:
    first = run_all(shop)
    quick = [gate for gate in GATES if gate["gate"] not in ("servability", "skew", "bad_input", "health")]
    small = shop.variant(refitting_shop(gates=[*quick, AGREEMENT]))
    with small.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", first.version)
        trial = Trial(workspace, "pr-1", Run.new())
        found = {one.stage: one for one in trial.of(small.context())}
        assert [one.gate for one in found["refit"].verdicts] == ["agreement_correlation"]
        assert all(verdict.passed for verdict in found["refit"].verdicts)
        assert not found["evaluation"].missing and found["evaluation"].verdicts
        assert champions.champion(workspace, MODEL) == workspace.registry.get(MODEL, first.version)


def test_what_is_declared_fits() -> None:
    with pytest.raises(ValueError, match=r"split\.refit: say how far a refit may answer otherwise"):
        declared(models={MODEL: {"split": SPLIT}})
    with pytest.raises(ValueError, match=r"agreement is of a refit; set `split\.refit`"):
        declared(models={MODEL: {"gates": [*GATES, AGREEMENT]}})
