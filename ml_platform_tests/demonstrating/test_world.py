"""What arrives in the demonstration, and the project that takes it."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.declarations.loading import load_catalogue
from ml_platform.demonstrating import project, world
from ml_platform.foundation.errors import PlatformError

MARCH, BEGINS = "2013-03-01", "2013-07-01"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a demonstration."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "demo"))
    project.prepare(tmp_path / "demo", BEGINS)
    return tmp_path / "demo"


def test_a_month_arrives_as_the_note_says_and_its_fingerprint_follows(home: Path) -> None:
    clean, rows = world.source.partitions(), world.source.read(MARCH)
    assert len(clean) == 12
    seen = set()
    for what in (world.TWICE, world.LATER, world.CORRECTED):
        world.deliver(home, {MARCH: what})
        offered = world.source.partitions()
        assert {name for name in clean if clean[name] != offered[name]} == {MARCH}
        seen.add(offered[MARCH])
        came = world.source.read(MARCH)
        assert came.height == rows.height * (2 if what == world.TWICE else 1)
        if what != world.TWICE:
            more = (came["arr_delay"] - rows["arr_delay"]).drop_nulls()
            assert more.min() == (10 if what == world.LATER else 0) and more.max() == (10 if what == world.LATER else 1)
            assert came.filter(pl.col("arr_delay").is_null()).equals(rows.filter(pl.col("arr_delay").is_null()))
    assert len(seen) == 3
    world.deliver(home, {MARCH: world.GONE})
    assert MARCH not in world.source.partitions()
    world.deliver(home, {})
    assert world.source.partitions() == clean
    with pytest.raises(PlatformError, match="'eaten' is nothing that happens to a delivery"):
        world.changed(rows, "eaten")


def test_the_project_has_the_example_with_arrivals_a_refit_and_a_rollout(home: Path) -> None:
    catalogue = load_catalogue(project.Project.find(home), working=True)
    assert [*catalogue.models] == [project.MODEL] and [*catalogue.datasets] == [project.DATASET]
    model = catalogue.model(project.MODEL)
    assert model.split.refit and model.split.holdout == 3 and model.rollout.steps and model.rollout.watch
    assert catalogue.dataset(project.DATASET).source == project.DECLARED[project.DATASET]["source"]
    assert (home / world.CLOCK).read_text().strip() == BEGINS


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PlatformError, match="holds something else than a demonstration"):
        project.prepare(tmp_path, BEGINS)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_an_earlier_demonstration_makes_room(home: Path) -> None:
    (home / ".local").mkdir()
    (home / ".local" / "ledger.db").write_text("of before")
    world.deliver(home, {MARCH: world.TWICE})
    project.prepare(home, BEGINS)
    assert not (home / ".local").exists() and world.source.partitions()[MARCH] == _clean()


def _clean() -> str:
    from ml_platform.defs.flights.source import source

    return source.partitions()[MARCH]
