"""The same content again: nothing new in a second run, the same bytes in another folder."""

from pathlib import Path

import pytest

from ml_platform.rollout import control
from ml_platform.rollout.processes import read_state
from ml_platform.rollout.record_files import RecordFiles
from ml_platform_tests.conftest import ports
from ml_platform_tests.shop_project import (
    APRIL,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MAY,
    MODEL,
    MONTHS,
    copy_of,
    lenient,
    new_project,
    train,
)


@pytest.mark.slow
def test_a_second_run_over_unchanged_content_adds_nothing(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project", lenient())
    ingested = project.ingest(JANUARY, APRIL)
    train(project)
    before, model = project.holdings(), project.reference(f"{MODEL}/model")
    assert before.versions == {MODEL: [1]}

    again = project.ingest(JANUARY, APRIL)
    assert again.success and again.materialized == ingested.materialized
    train(project)
    assert project.holdings() == before
    assert project.reference(f"{MODEL}/model") == model
    # One month more is news, and shows that the comparison above could have failed.
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    assert project.holdings() != before


@pytest.mark.slow
def test_two_runs_from_nothing_give_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for name, threads in (("one", "1"), ("another place", "2")):
        project = new_project(tmp_path / name, lenient(), environment={"ML_PLATFORM_THREADS": threads})
        project.batches.deliver(JANUARY, FEBRUARY, MARCH)
        # In one run of three months here, and month by month there.
        for months in [(JANUARY, MARCH)] if name == "one" else [(month, "") for month in MONTHS[:3]]:
            assert project.ingest(*months).success
        train(project)
        model = project.reference(f"{MODEL}/model")
        features = [project.reference(FEATURES, month).sha256 for month in MONTHS[:3]]
        found.append((project.published(), features, model.manifest_sha256, model.sha256))
    assert found[0] == found[1]


@pytest.mark.slow
def test_the_whole_loop_a_second_time_adds_nothing(tmp_path: Path) -> None:
    project = new_project(
        tmp_path / "project",
        lenient(),
        arrived=(JANUARY, FEBRUARY, MARCH),
        environment={"ML_PLATFORM_PORTS": ports(3460, 10)},
    )
    with project.active() as workspace:
        settings = workspace.settings
    try:
        first = project.loop(JANUARY, MARCH)
        assert first.success, first.error
        assert f"{MODEL}/deployment" in first.assets()
        before, deployed = project.holdings(), RecordFiles(settings).load(MODEL)
        served = [(service.pid, service.start_time) for service in read_state(settings).services]

        second = project.loop(JANUARY, MARCH)
        assert second.success, second.error
        assert second.materialized == first.materialized
        assert project.holdings() == before
        assert RecordFiles(settings).load(MODEL) == deployed
        assert [(service.pid, service.start_time) for service in read_state(settings).services] == served
        assert len(served) == 1
    finally:
        control.stop_all(settings)
