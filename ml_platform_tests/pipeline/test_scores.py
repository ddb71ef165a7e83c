"""Scores of a partition: what the version that answers says of its rows, held to the evaluation, kept once."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.datasets import batches
from ml_platform.datasets.store import NotFound
from ml_platform.foundation.provenance import Run
from ml_platform.gates.stages import SCORES_DISTRIBUTION
from ml_platform.ledger.kinds import DERIVATION
from ml_platform.pipeline import approval, scores
from ml_platform_tests.pipeline.served import answering, packaged, published_rows
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, DATASET, MAY, MODEL, STEPS, copy_of, declared

SCORES = f"{MODEL}/scores"


@pytest.fixture(scope="module")
def made(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a project whose version 1 is packaged and is what answers, as record and ledger say."""
    return answering(tmp_path_factory.getbasetemp(), with_models)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return copy_of(made, tmp_path / "project")


def test_scores_are_the_answers_of_the_version_that_answers_and_are_made_once(project: Project) -> None:
    outcome = project.materialize(SCORES, partition=APRIL)
    assert outcome.success, outcome.error
    assert outcome.materialized == [(SCORES, APRIL)]
    ref = project.reference(SCORES, APRIL)
    features = project.reference(f"{DATASET}/features", APRIL)
    version = project.reference(STEPS[-1])
    with project.active() as workspace:
        frame = batches.read(workspace.store, ref)
        held = batches.read(workspace.store, features)
        found = scores.at(workspace, MODEL, APRIL)
    function = project.context().function
    assert frame.select(function.key).equals(held.select(function.key)) and frame.height == ref.rows
    assert np.array_equal(
        frame["prediction"].to_numpy(), packaged(project).predict(published_rows(project, APRIL)).astype(np.float64)
    )
    assert frame["decision"].equals((frame["prediction"] >= 0.4).alias("decision"))
    # From the scores to version, package, features and every batch that their history saw.
    assert ref.inputs[f"{MODEL}@1"] == version.sha256 and ref.inputs[f"{DATASET}/features/{APRIL}"] == features.sha256
    assert ref.inputs[f"{MODEL}/service"] == project.reference(f"{MODEL}/service").sha256
    assert ref.inputs.items() >= features.inputs.items()
    assert (found["version"], found["commit"], found["inputs"]) == (1, ref.commit, ref.inputs)
    assert [verdict["status"] for verdict in found["verdicts"]] == ["passed"]
    (event,) = project.materializations(SCORES, APRIL)
    assert (event.tags or {})["dagster/data_version"] == ref.sha256
    # Again, nothing new is made, committed or written down.
    before = project.holdings()
    assert project.materialize(SCORES, partition=APRIL).success
    assert project.holdings() == before
    again = project.reference(SCORES, APRIL)
    assert (again.sha256, again.commit) == (ref.sha256, ref.commit)


def cheap(frame: pl.DataFrame) -> pl.DataFrame:
    """A month of goods that come back: every value is possible, as is each by itself."""
    return frame.with_columns(price=20 + frame["price"] % 20, weight=pl.lit(0.2))


def test_scores_that_are_distributed_otherwise_are_refused_and_kept_nowhere(project: Project) -> None:
    project.batches.deliver(MAY, change=cheap)
    assert project.ingest(MAY).success
    refused = project.materialize(SCORES, partition=MAY)
    assert not refused.success and not refused.materialized
    assert f"held back by {SCORES_DISTRIBUTION}" in refused.error and "<= 0.2" in refused.error
    verdict = project.verdicts(f"{SCORES}/{MAY}")[SCORES_DISTRIBUTION]
    assert verdict.status == "failed" and (verdict.observed or 0) > 0.2
    with project.active() as workspace:
        with pytest.raises(NotFound):
            workspace.store.stat(scores.BRANCH, scores.path_of(MODEL, MAY))
        # A person lets exactly this content pass, with a reason.
        workspace.ledger.override(
            verdict, by="ann", reason="a sale", days=2, run_id="run", provenance=Run.new().provenance
        )
    assert project.materialize(SCORES, partition=MAY).success
    with project.active() as workspace:
        (let,) = scores.verdicts_on(workspace, project.reference(SCORES, MAY))
    assert let.subject == verdict.subject and "ann" in let.override


def test_their_clean_twin_is_scored(project: Project) -> None:
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    outcome = project.materialize(SCORES, partition=MAY)
    assert outcome.success, outcome.error
    assert project.verdicts(f"{SCORES}/{MAY}")[SCORES_DISTRIBUTION].status == "passed"
    # Where no rule on predictions is declared, nothing holds scores to it.
    loose = project.variant(declared(models={MODEL: {"rollout": {"rules": {"predictions": None}}}}))
    before = len(project.entries(subject_name=f"{SCORES}/{MAY}"))
    assert loose.materialize(SCORES, partition=MAY).success
    # That they were made is told, and no verdict.
    (new,) = project.entries(subject_name=f"{SCORES}/{MAY}")[before:]
    assert new.kind == DERIVATION


def test_nothing_scores_that_may_not_answer(project: Project, with_models: Path, tmp_path: Path) -> None:
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        approval.decide(workspace, project.context(), version, "rejected", by="ann", reason="wrong", run=Run.new())
    refused = project.materialize(SCORES, partition=APRIL)
    assert "Refused" in refused.error and "answers, but ann rejected it" in refused.error
    never = copy_of(with_models, tmp_path / "never").materialize(SCORES, partition=APRIL)
    assert not never.success and "MissingReference" in never.error


def test_features_of_other_code_are_not_what_the_package_was_made_with(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_platform.serving import bundle

    read = bundle.read
    monkeypatch.setattr(
        bundle, "read", lambda folder: (read(folder)[0].model_copy(update={"feature_code": "x"}), read(folder)[1])
    )
    refused = project.materialize(SCORES, partition=APRIL)
    assert "Refused" in refused.error and "answers by feature code x" in refused.error
