"""The answer names what holds something back, and a command after which it is held back no more."""

from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.pipeline import evaluation
from ml_platform.pipeline.data import refused_corrections
from ml_platform.pipeline.why import Answer, why
from ml_platform.rollout.changes import promoted, started, withdrawn
from ml_platform.rollout.record import Backend
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    DATASET,
    FEATURES,
    JANUARY,
    MARCH,
    MAY,
    MODEL,
    copy_of,
    declared,
    gates,
)


@pytest.fixture
def project(with_models: Path, tmp_path: Path) -> Project:
    return copy_of(with_models, tmp_path / "shop")


def asked(project: Project, name: str) -> Answer:
    with project.active() as workspace:
        return why(workspace, project.catalogue, name)


def test_a_batch_is_refused_until_it_is_corrected(project: Project) -> None:
    assert asked(project, f"{DATASET}/{JANUARY}") == (f"{DATASET}/{JANUARY}", "published", (), ())
    project.batches.deliver(MAY)
    waits = asked(project, f"{DATASET}/{MAY}")
    assert (waits.state, waits.next) == ("not ingested", (f"ml-platform run --from {MAY} --to {MAY}",))
    project.batches.deliver(MAY, change=lambda frame: frame.head(20))
    project.ingest(MAY)
    refused = asked(project, f"{DATASET}/{MAY}")
    assert refused.state == "refused"
    (reason,) = [one for one in refused.because if one.startswith("gate volume failed: 20 rows against a median")]
    assert "threshold: " in reason
    assert f"ml-platform override volume {DATASET}/batch/{MAY} --by NAME --reason TEXT --days 7" in refused.next
    assert asked(project, f"{DATASET}/batch/{MAY}") == refused, "as verdicts name it"
    whole = asked(project, DATASET)
    assert whole.state == "4 of 5 partitions published, the newest 2024-04-01" and whole.next == (refused.next[0],)
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    assert asked(project, f"{DATASET}/{MAY}").state == "published"
    # What came since is what the model lacks.
    model = asked(project, MODEL)
    assert model.state == "not trained on the newest data" and model.because[0].startswith(f"{MAY} came after")
    assert model.next == ("ml-platform run",)


def test_a_refused_correction_is_told_beside_what_is_published(project: Project) -> None:
    project.batches.deliver(MARCH, change=lambda frame: frame.head(20))
    project.ingest(MARCH)
    found = asked(project, f"{DATASET}/{MARCH}")
    assert found.state.startswith("published (") and found.state.endswith("a correction is refused")
    with project.active() as workspace:
        refused = refused_corrections(workspace, project.catalogue.datasets[DATASET])
    assert refused.keys() == {MARCH} and "volume" in [one.gate for one in refused[MARCH]]


def test_features_that_are_gone_are_named(project: Project) -> None:
    with project.active() as workspace:
        workspace.references.forget(FEATURES, MARCH)
    found = asked(project, f"{DATASET}/{MARCH}")
    assert (found.state, found.because) == ("published, without its features", (f"{FEATURES} was never made of it",))


def test_a_refused_candidate_names_gate_and_threshold(project: Project) -> None:
    strict = project.variant(declared(models={MODEL: {"gates": gates(performance={"min": 0.999})}}))
    strict.materialize(f"{MODEL}/evaluation", checks=None)
    found = asked(strict, MODEL)
    assert "is rejected" in found.state and found.state.endswith("not live")
    (reason,) = found.because
    assert reason.startswith("gate performance_auc failed: auc is 0.7") and reason.count("0.999") == 1
    assert found.next[0].startswith("ml-platform override performance_auc ")


def test_a_step_that_did_not_come_to_its_end_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise PlatformError("out of memory")

    other = project.variant(declared(models={MODEL: {"parameters": {"rounds": 3}}}))
    other.batches.deliver(MAY)
    assert other.ingest(MAY).success and other.materialize(f"{MODEL}/split").success
    found = asked(other, MODEL)
    assert (found.state, found.next) == ("not trained", ("ml-platform run",))
    assert found.because == ("a split up to 2024-04-01 was made, and no training on it came to its end",)
    monkeypatch.setattr(evaluation, "evaluate", broken)
    assert not other.materialize(f"{MODEL}/split", f"{MODEL}/model", f"{MODEL}/evaluation", checks=None).success
    found = asked(other, MODEL)
    assert (found.state, found.next) == ("trained, not evaluated", ("ml-platform run",))
    assert found.because == ("no evaluation of the model trained up to 2024-04-01 came to its end",)


def test_a_version_is_followed_to_where_it_answers(project: Project) -> None:
    assert asked(project, f"{MODEL}@1").state == "approved, not live"
    assert asked(project, f"{MODEL}/deployment").because == ("no version was ever deployed",)
    backend = Backend(version=1, tag="t:1", sha256="a" * 64, path="bentos/m-1")
    with project.active() as workspace:
        workspace.rollouts.update(MODEL, lambda record: started(record, backend, by="ann", why="test"))
        assert why(workspace, project.catalogue, f"{MODEL}@1").state == "approved, takes over"
        workspace.rollouts.update(MODEL, lambda record: promoted(record, why="it answers"))
    found = asked(project, f"{MODEL}/deployment")
    assert (found.state, found.next) == ("not live", ("ml-platform serve --detach",))
    assert asked(project, f"{MODEL}@1").because == found.because
    with project.active() as workspace:
        workspace.rollouts.update(MODEL, lambda record: withdrawn(record, by="ann", why="wrong prices"))
        workspace.registry.set_approval(MODEL, 1, "rejected", by="ann", reason="wrong prices")
    assert asked(project, f"{MODEL}/deployment").because == ("withdraw by ann: wrong prices",)
    assert asked(project, f"{MODEL}@1").because == ("ann: wrong prices",)


def test_a_partition_that_left_its_source_is_told_with_the_way_out(project: Project) -> None:
    (project.batches.folder / f"{MARCH}.parquet").unlink()
    gone = asked(project, f"{DATASET}/{MARCH}")
    assert gone.state == "published" and "its source does not offer it any more" in gone.because[0]
    assert gone.next == (f"ml-platform data rollback {DATASET} {MARCH} --withdraw --reason TEXT",)
    # A source may well keep the newest only: as one of many it is nothing to be done.
    assert asked(project, DATASET).because == ()


def test_what_is_no_partition_is_told_with_the_one_that_is_meant(project: Project) -> None:
    inside = asked(project, f"{DATASET}/2024-03-17")
    assert (inside.because, inside.next) == (
        (f"it lies in the partition {MARCH}",),
        (f"ml-platform why {DATASET}/{MARCH}",),
    )
    assert asked(project, f"{DATASET}/2024-13-01").because == (
        "partition '2024-13-01' is not an ISO date; take one of the form 2024-01-01",
    )
    assert asked(project, f"{DATASET}/2031-01-01").because[0].startswith("its source does not offer it; the newest")
    with pytest.raises(PlatformError, match=rf"there is no '{MARCH}'; .*did you mean '{DATASET}/{MARCH}'\?"):
        asked(project, MARCH)


def test_an_unknown_name_is_told_with_what_there_is(project: Project) -> None:
    with pytest.raises(PlatformError, match="did you mean"):
        asked(project, f"{MODEL}s")
    with pytest.raises(MissingReference):
        asked(project, f"{MODEL}@9")
