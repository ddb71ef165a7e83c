"""Whole days of the prediction log become data: once, without what is personal, and for good."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import logged_predictions
from ml_platform.references.refs import LiveRef
from ml_platform.rollout.pairs import log_folder
from ml_platform.serving.hashed_keys import hashed
from ml_platform.serving.prediction_log import KEY_HASH
from ml_platform_tests.pipeline.served import rows_of, serve
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MAY, MODEL, copy_of

ASSET = f"{MODEL}/predictions"


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    return copy_of(four_months, tmp_path / "project", ML_PLATFORM_NOW="2024-05-10T08:00:00+00:00")


def some(project: Project, first: int = 1, last: int = 12) -> pl.DataFrame:
    """Rows of May that were asked for from one day to another."""
    return rows_of(project, MAY).filter(pl.col("day").is_between(date(2024, 5, first), date(2024, 5, last)))


def answered(project: Project, rows: pl.DataFrame, **how: object) -> None:
    serve(project, rows, predictions=np.linspace(0, 1, rows.height), **how)  # type: ignore[arg-type]


def held(project: Project) -> pl.DataFrame:
    with project.active() as workspace:
        return pl.concat(
            logged_predictions.read(workspace.store, day) for day in logged_predictions.stored(workspace.store, MODEL)
        )


def test_days_that_are_over_are_ingested_once_and_whole(project: Project) -> None:
    nothing = project.materialize(ASSET)
    assert "MissingReference" in nothing.error and "no day of the prediction log is over" in nothing.error
    rows = some(project)
    answered(project, rows)
    outcome = project.materialize(ASSET)
    assert outcome.success, outcome.error
    ref = project.reference(ASSET)
    assert isinstance(ref, LiveRef)
    found, expected = held(project), some(project, 1, 9)
    assert ref.rows == found.height == expected.height
    assert [Path(path).stem for path in ref.contents] == [f"2024-05-{day:02d}" for day in range(1, 10)]
    assert (
        found.select("order_id", "line")
        .sort("order_id", "line")
        .equals(expected.select("order_id", "line").sort("order_id", "line"))
    )
    # Again, nothing is read, committed or written down; the next day brings its own.
    before = project.holdings()
    assert project.materialize(ASSET).success
    assert project.holdings() == before and project.reference(ASSET).commit == ref.commit
    later = project.variant(project.catalogue, ML_PLATFORM_NOW="2024-05-11T00:00:00+00:00")
    assert later.materialize(ASSET).success
    new = later.reference(ASSET)
    assert new.contents.items() > ref.contents.items() and len(new.contents) == 10


def test_a_day_that_grew_is_ingested_again_and_one_that_expired_stays(project: Project) -> None:
    answered(project, some(project, 7, 8))
    assert project.materialize(ASSET).success
    first = project.reference(ASSET)
    # A service that was slow writes the last rows of the 8th on the 9th.
    answered(project, some(project, 9, 9), on=date(2024, 5, 8))
    assert project.materialize(ASSET).success
    grown = project.reference(ASSET)
    assert grown.rows == first.rows + some(project, 9, 9).height and len(grown.contents) == 2
    with project.active() as workspace:
        shutil.rmtree(log_folder(workspace.settings) / MODEL)
    assert project.materialize(ASSET).success
    assert project.reference(ASSET).contents == grown.contents


def test_nothing_personal_is_kept_but_a_hash_of_the_key(project: Project) -> None:
    rows, key = some(project, 3, 4), ("customer", "order_id", "line")
    # As an earlier declaration had it, which marked nothing.
    answered(project, rows, hashed=key, columns=[*project.context().function.inputs, "customer"])
    with project.active() as workspace:
        (log, *_) = sorted(log_folder(workspace.settings).rglob("*.parquet"))
        assert "customer" in pl.read_parquet_schema(log)
    assert project.materialize(ASSET).success
    found = held(project)
    assert "customer" not in found.columns
    again = hashed(rows, key, "s")
    assert sorted(found[KEY_HASH]) == sorted(again) and again.n_unique() == rows.height
    assert not set(again) & set(hashed(rows, key, "another secret"))


def test_a_damaged_file_is_named(project: Project) -> None:
    answered(project, some(project, 3, 3))
    with project.active() as workspace:
        folder = log_folder(workspace.settings) / MODEL / "2024-05-03"
        (folder / "0-broken.parquet").write_bytes(b"PAR1 nothing")
        with pytest.raises(PlatformError, match=r"0-broken.parquet cannot be read \(.*\); move it away"):
            logged_predictions.ingest(workspace, project.context(), Run.new())
