"""What came of answers, held against the evaluation: worse outcomes are told, others are not, missing ones say so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.mistakes import problems
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.provenance import Run
from ml_platform.live.performance import Window
from ml_platform.pipeline import labelled_predictions, logged_predictions, performance
from ml_platform.pipeline.retraining import propose
from ml_platform_tests.pipeline import claims
from ml_platform_tests.pipeline.served import answering, requests_of, rows_of, serve
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import GATES, MAY, MODEL, copy_of, declared

LIVE = (f"{MODEL}/predictions", f"{MODEL}/live_performance")
CHECK = f"{MODEL}/live_performance/not_below_evaluation"
JUNE = "2024-06-01"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a project whose version 1 answered every row of May."""
    folder = tmp_path_factory.mktemp("served") / "project"
    project = copy_of(answering(tmp_path_factory.getbasetemp(), with_models), folder)
    serve(project, rows_of(project, MAY))
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return copy_of(made, tmp_path / "project", ML_PLATFORM_NOW="2024-06-02T08:00:00+00:00")


def looked(project: Project) -> tuple[list[Window], bool | None]:
    """The windows, and whether the check passed; None where it said nothing."""
    outcome = project.materialize(*LIVE, checks=[CHECK])
    assert outcome.success, outcome.error
    (said,) = [one.passed for one in outcome.checks.values()] or [None]
    with project.active() as workspace:
        return performance.known(workspace, MODEL), said


def measured(project: Project) -> list[Window]:
    return looked(project)[0]


def published(project: Project, change: Callable[[pl.DataFrame], pl.DataFrame] | None = None) -> None:
    project.batches.deliver(MAY, change=change)
    outcome = project.ingest(MAY)
    assert outcome.success, outcome.error


def unlike(frame: pl.DataFrame) -> pl.DataFrame:
    """A month in which nothing comes back for the reasons that it did before."""
    drawn = pl.Series(np.random.default_rng(7).random(frame.height) < 0.25).cast(pl.Int64)
    return frame.with_columns(pl.when(pl.col("returned").is_not_null()).then(drawn).alias("returned"))


def more(frame: pl.DataFrame) -> pl.DataFrame:
    """A month in which many more things come back, in the same order of likelihood."""
    drawn = pl.Series(np.random.default_rng(7).random(frame.height) < 0.4)
    return frame.with_columns(
        pl.when(pl.col("returned").is_null()).then(None).otherwise(pl.col("returned") | drawn.cast(pl.Int64))
        .alias("returned")
    )  # fmt: skip


def one_less(frame: pl.DataFrame) -> pl.DataFrame:
    """A correction: one thing that came back did not."""
    first = frame["returned"].eq(1).arg_max()
    changed = pl.when(pl.col("index") == first).then(0).otherwise("returned").alias("returned")
    return frame.with_row_index().with_columns(changed).drop("index")


def test_a_month_without_labels_is_no_pass_and_no_alarm(project: Project) -> None:
    (window,), passed = looked(project)
    assert passed is None
    assert (window.window, window.version, window.labelled, window.status) == (MAY, 1, 0, "unknown")
    assert window.predictions == rows_of(project, MAY).height
    assert window.said == f"no label is known yet of {window.predictions:,} predictions"
    with project.active() as workspace:
        assert performance.statement(workspace, MODEL).status == "unknown"
        assert performance.fallen(workspace, project.context()) == ""


def test_outcomes_as_they_always_were_are_no_alarm(project: Project) -> None:
    by_channel = {"gate": "slices", "metric": "auc", "columns": ["channel"], "max": 0.15}
    project = project.variant(declared(models={MODEL: {"gates": [*GATES, by_channel]}}))
    published(project)
    (window,), passed = looked(project)
    assert passed is True
    assert window.status == "kept", window.said
    rows = rows_of(project, MAY)
    assert window.labelled == rows["returned"].count() and 0.9 < window.share < 1
    # The same as if it had been evaluated on that month: by value, and on its own partitions of the holdout.
    assert window.metrics["auc"].clusters == rows["day"].n_unique()
    assert set(window.usual["auc"]) == {"2024-04-01", "whole"} and set(window.usual) == {"auc", "brier_skill"}
    assert sum(day["labelled"] for day in window.days) == window.labelled
    assert len(window.days) == rows["day"].n_unique()
    (groups,) = window.slices.values()
    assert {one["group"] for one in groups} == {"counter", "phone", "web"}
    web = next(one for one in groups if one["group"] == "web")
    assert web["lower"] < web["auc"] < web["upper"]
    with project.active() as workspace:
        assert performance.fallen(workspace, project.context()) == ""


@pytest.mark.parametrize(("change", "metric"), [(unlike, "auc"), (more, "brier_skill")])
def test_outcomes_that_got_worse_are_told(
    project: Project, change: Callable[[pl.DataFrame], pl.DataFrame], metric: str
) -> None:
    published(project, change)
    (window,), passed = looked(project)
    assert passed is False
    assert window.status == "below" and metric in window.said, window.said
    with project.active() as workspace:
        said = performance.fallen(workspace, project.context())
        series = (workspace.settings.local / "metrics" / f"{MODEL}.prom").read_text()
    assert said.startswith("version 1 was below its evaluation in 1 of the 1 newest windows (") and metric in said
    assert f'ml_live_below{{model="{MODEL}",version="1",window="{MAY}"}} 1' in series


def test_only_what_changed_is_computed_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    published(project)
    serve(project, rows_of(project, JUNE).filter(pl.col("day") < pl.date(2024, 6, 2)))
    first = measured(project)
    assert [one.window for one in first] == [MAY, JUNE] and first[-1].status == "unknown"
    before = project.holdings()
    days, windows = [], []
    joined, window = labelled_predictions._joined, performance._window
    monkeypatch.setattr(labelled_predictions, "_joined", lambda frame, *rest: days.append(1) or joined(frame, *rest))
    monkeypatch.setattr(performance, "_window", lambda *given: windows.append(given[2]) or window(*given))
    assert measured(project) == first
    assert (days, windows, project.holdings()) == ([], [], before)
    # A day more of June: one day is joined, one window measured.
    serve(project, rows_of(project, JUNE).filter(pl.col("day") == pl.date(2024, 6, 2)))
    later = project.variant(project.catalogue, ML_PLATFORM_NOW="2024-06-03T08:00:00+00:00")
    assert measured(later)[-1].predictions > first[-1].predictions
    assert (days, windows) == ([1], [JUNE])
    # A correction of May: its days are, those of June are not.
    del days[:], windows[:]
    published(later, one_less)
    measured(later)
    assert windows == [MAY] and len(days) == rows_of(project, MAY)["day"].n_unique()


def test_versions_are_told_apart_and_one_that_is_not_registered_is_not_judged(project: Project) -> None:
    rows = rows_of(project, MAY)
    serve(project, rows, version=9, predictions=np.random.default_rng(3).random(rows.height))
    published(project)
    ours, other = measured(project)
    assert (ours.version, ours.status) == (1, "kept") and (other.version, other.status) == (9, "unknown")
    assert other.metrics["auc"].value < 0.6 < ours.metrics["auc"].value
    assert other.said.endswith("neither they nor the holdout give a metric to compare")


def test_a_repeated_answer_counts_once(project: Project) -> None:
    serve(project, rows_of(project, MAY))
    assert measured(project)[0].predictions == rows_of(project, MAY).height


def test_without_predictions_it_says_what_to_do(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "project")
    with project.active() as workspace:
        with pytest.raises(MissingReference, match=f"materialize {MODEL}/predictions first"):
            performance.update(workspace, project.context(), Run.new())
        with pytest.raises(MissingReference, match="it was never measured"):
            performance.known(workspace, MODEL)
        assert logged_predictions.stored(workspace.store, MODEL) == []


def test_people_tell_what_came_of_requests_in_part_late_and_corrected(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    folder.mkdir()
    told = {"labels": "claims", "split": {"holdout": 1, "label_delay": 31}}
    catalogue = Catalogue.of([*declared(models={MODEL: told}).all, DatasetSpec.model_validate(claims.ATTRIBUTES)])
    assert not problems(catalogue)
    project = project.variant(catalogue, CLAIMS_FOLDER=str(folder), ML_PLATFORM_NOW="2024-07-02T08:00:00+00:00")
    rows = rows_of(project, MAY)
    known = requests_of(rows).with_columns(rows["day"].alias("told"), rows["returned"].cast(pl.Int64))

    def tell(month: str, frame: pl.DataFrame) -> None:
        frame.write_parquet(folder / f"{month}.parquet")
        outcome = replace(project, dataset="claims").ingest(month)
        assert outcome.success, outcome.error

    # The published month of the dataset itself counts no more.
    published(project)
    assert measured(project)[0].labelled == 0
    half = known.filter(pl.col("told") < pl.date(2024, 5, 20))
    tell(MAY, half)
    window = measured(project)[0]
    assert window.labelled == half["returned"].count() and window.status == "kept", window.said
    # In June the rest is told, and some of May otherwise.
    wrong = half.filter(pl.col("returned") == 1).head(5)
    rest = known.filter(pl.col("told") >= pl.date(2024, 5, 20))
    late = pl.concat([rest, wrong.with_columns(pl.lit(0, pl.Int64).alias("returned"))])
    tell(JUNE, late.with_columns(told=pl.date(2024, 6, 3)))
    later = measured(project)[0]
    assert later.labelled == known["returned"].count()
    positives = sum(one["base_rate"] * one["labelled"] for one in later.days if one["labelled"])
    assert round(positives) == known["returned"].sum() - 5


def test_labels_that_do_not_fit_are_named(project: Project) -> None:
    spec = DatasetSpec.model_validate({**claims.ATTRIBUTES, "key": ["told"]})
    catalogue = Catalogue.of([*declared(models={MODEL: {"labels": "claims"}}).all, spec])
    said = [(key, reason.partition(";")[0]) for _, key, reason in problems(catalogue)]
    assert said == [("labels", "unknown column 'order_id'"), ("labels", "unknown column 'line'")]
    ((_, key, reason),) = problems(declared(models={MODEL: {"labels": "clams"}}))
    assert key == "labels" and "there is no 'clams'" in reason


def test_a_training_is_begun_for_live_performance_once_with_every_other_cause(project: Project) -> None:
    published(project, unlike)
    measured(project)

    def ticked(**retrain: Any) -> tuple[str, tuple[str, ...]]:
        catalogue = declared(models={MODEL: {"retrain": retrain}})
        with project.variant(catalogue).active() as workspace:
            context = ModelContext.of(catalogue, MODEL)
            found = propose(workspace, context, attempts=lambda _: 0, obeyed=lambda _: 0).decision
        assert found.said.startswith(f"{MODEL}: ")
        return found.action, tuple(one.partition(":")[0].partition(" (")[0] for one in found.causes)

    rule = {"below": 1, "windows": 1}
    assert ticked(min_new_partitions=2) == ("advise", ("live performance",))
    assert ticked(min_new_partitions=2, live_performance=rule) == ("train", ("live performance",))
    assert ticked(live_performance=rule) == ("train", ("new data", "live performance"))
    # Two of the newest three windows are asked for, and there is one.
    assert ticked(min_new_partitions=2, live_performance={}) == ("wait", ())
