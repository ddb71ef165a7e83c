"""What a version was asked, beside what it learned: requests of another kind are told, those of every month are not."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from ml_platform.foundation.provenance import Run
from ml_platform.live.traffic import LEAST_ROWS, TrafficWindow
from ml_platform.pipeline import alerts, live_drift, logged_predictions
from ml_platform_tests.pipeline.served import answering, rows_of, serve
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MAY, MODEL, copy_of, declared

LIVE = (f"{MODEL}/predictions", f"{MODEL}/live_drift")
CHECK = f"{MODEL}/live_drift/as_trained"
JUNE = "2024-06-01"
#: One month is enough here.
RULE = {"psi": 0.25, "share": 0.2, "partitions": 1, "window": 1}

pytestmark = pytest.mark.slow


@pytest.fixture
def project(with_models: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1 answers, and was asked nothing yet; it is the second of June."""
    made = answering(tmp_path_factory.getbasetemp(), with_models)
    project = copy_of(made, tmp_path / "project", ML_PLATFORM_NOW="2024-06-02T08:00:00+00:00")
    return project.variant(declared(models={MODEL: {"drift": RULE}}))


def looked(project: Project) -> tuple[list[TrafficWindow], bool | None]:
    """The windows, and whether the check passed; None where it said nothing."""
    outcome = project.materialize(*LIVE, checks=[CHECK])
    assert outcome.success, outcome.error
    (said,) = [one.passed for one in outcome.checks.values()] or [None]
    with project.active() as workspace:
        return live_drift.known(workspace, MODEL), said


def told(project: Project) -> list[str]:
    with project.active() as workspace:
        return [one.said for one in alerts.standing(workspace, project.catalogue) if one.kind == "traffic"]


def in_cents(rows: pl.DataFrame) -> pl.DataFrame:
    """A caller that sends prices in another unit, and weights in grams."""
    return rows.with_columns(pl.col("price") * 100, pl.col("weight") * 1000)


def unknown_channel(rows: pl.DataFrame) -> pl.DataFrame:
    """A caller that fills in what it does not know."""
    return rows.with_columns(pl.lit(None, pl.String).alias("channel"), pl.lit(None, pl.Float64).alias("weight"))


def as_always(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


@pytest.mark.parametrize(
    ("change", "columns"),
    [(as_always, set[str]()), (in_cents, {"price", "weight"}), (unknown_channel, {"channel", "weight"})],
)
def test_requests_of_another_kind_are_told(
    project: Project, change: Callable[[pl.DataFrame], pl.DataFrame], columns: set[str]
) -> None:
    rows = rows_of(project, MAY)
    assert rows.height >= LEAST_ROWS
    serve(project, change(rows))
    (window,), passed = looked(project)
    assert (window.window, window.version, window.rows) == (MAY, 1, rows.height)
    assert {name for name, psi in window.inputs.items() if psi > RULE["psi"]} == columns
    assert window.outputs is not None
    assert passed is not bool(columns)
    said = told(project)
    assert len(said) == bool(columns)
    for name in columns:
        assert name in said[0] and f"ml-platform train {MODEL}" in said[0]
    with project.active() as workspace:
        assert live_drift.statement(workspace, MODEL).window == MAY
        file = live_drift.write_series(workspace, project.context(), [window])
        assert f'ml_live_input_psi{{column="price",model="{MODEL}"' in file.read_text()
        report = live_drift.write_report(workspace, project.context(), [window])
        assert report is not None and report.stat().st_size > 10_000
        assert live_drift.write_report(workspace, project.context(), [window]) == report


def test_a_month_that_is_not_over_is_shown_and_does_not_count(project: Project) -> None:
    serve(project, in_cents(rows_of(project, MAY)))
    project = project.variant(project.catalogue, ML_PLATFORM_NOW="2024-05-30T08:00:00+00:00")
    (window,), passed = looked(project)
    assert window.inputs["price"] > RULE["psi"] and passed is None and told(project) == []


def test_a_few_requests_are_no_pass_and_no_alarm(project: Project) -> None:
    serve(project, in_cents(rows_of(project, MAY).head(LEAST_ROWS - 1)))
    (window,), passed = looked(project)
    assert (window.inputs, window.outputs, passed) == ({}, None, None)
    with project.active() as workspace:
        assert f"{LEAST_ROWS:,} are the least for a statement" in live_drift.statement(workspace, MODEL).said


def test_a_window_is_measured_again_only_where_one_of_its_days_changed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = rows_of(project, MAY)
    serve(project, may)
    looked(project)
    measured: list[str] = []
    real = live_drift._measured  # pyright: ignore[reportPrivateUsage]

    def counted(*arguments: object) -> list[TrafficWindow]:
        measured.append(str(arguments[2]))
        return real(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(live_drift, "_measured", counted)
    with project.active() as workspace:
        live_drift.update(workspace, project.context(), Run.new())
        assert measured == []
    later = may.with_columns(pl.col("day") + timedelta(days=31)).filter(pl.col("day") < date(2024, 6, 2))
    serve(project, later)
    with project.active() as workspace:
        logged_predictions.ingest(workspace, project.context(), Run.new())
        _, windows = live_drift.update(workspace, project.context(), Run.new())
    assert measured == [JUNE] and [one.window for one in windows] == [MAY, JUNE]


def test_answers_of_a_version_that_is_gone_are_named(project: Project) -> None:
    serve(project, rows_of(project, MAY), version=7, predictions=rows_of(project, MAY)["price"].to_numpy() * 0 + 0.5)
    (window,), passed = looked(project)
    assert (window.version, window.inputs, window.why) == (7, {}, "version 7 is registered no more")
    assert passed is None
