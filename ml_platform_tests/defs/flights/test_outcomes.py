"""Months of flights beside what a model of half a year leads one to expect, and what was estimated of them before.

The gates on batches are off: they refuse ten minutes more on every arrival (:mod:`.test_small_errors`).
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ml_platform.evaluation.expectation import Gap
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import drift, estimating, expecting, training
from ml_platform_tests.project import MODEL, Project, copy_of, declared, new_project, sample_months
from ml_platform_tests.sabotage.flight_errors import arriving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
MONTHS = tuple(f"2013-{month:02d}-01" for month in range(1, 13))
OCTOBER = MONTHS[9]
#: As in the example, in a third of the rounds.
MODELS = {
    MODEL: {
        "split": {"holdout": 3},
        "parameters": {
            "rounds": 100, "max_depth": 6, "eta": 0.1, "min_child_weight": 100, "colsample_bytree": 0.3,
            "subsample": 0.8, "reg_lambda": 5, "seed": 7,
        },
        "gates": [{"gate": "disjoint"}, {"gate": "expectation", "max": 0.1}],
        "drift": None,
    }
}  # fmt: skip
DECLARED = declared(
    dataset={
        "gates": [{"gate": "schema"}],
        "partitions": {"every": "month", "start": "2013-01-01", "end": "2014-01-01"},
    },
    features={"gates": [{"gate": "ranges"}]},
    models=MODELS,
)


@pytest.fixture(scope="module")
def september(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1 learned from January to June, was held against July to September, and answers."""
    folder = tmp_path_factory.mktemp("flights-of-a-year")
    months = sample_months(folder / "flights", MONTHS, rows=None)
    project = new_project(folder / "project", months, DECLARED, arrived=MONTHS[:9])
    assert project.ingest(MONTHS[0], MONTHS[8]).success
    names = ("split", "model", "evaluation", "registered_model")
    outcome = project.materialize(*(f"{MODEL}/{name}" for name in names), checks=None)
    assert outcome.success, outcome.error
    with project.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", 1)
    return project


def later(
    september: Project, target: Path, *arrived: str, change: Callable[[pl.DataFrame], pl.DataFrame] | None = None
) -> Project:
    project = copy_of(september.folder, target, DECLARED)
    project.batches.originals = september.batches.originals
    project.batches.deliver(*arrived, change=change)
    outcome = project.ingest(arrived[0], arrived[-1])
    assert outcome.success, outcome.error
    return project


def seen(project: Project) -> dict[str, Gap]:
    """All rows of each month after June."""
    with project.active() as workspace:
        found = drift.observe(workspace, project.context())
    assert found is not None
    return {month: gaps[0] for month, gaps in found.outcomes.items()}


def refusals(project: Project) -> list[str]:
    """Gates that hold back the next training."""
    with project.active() as workspace:
        run, context = Run.new(), project.context()
        split = training.split(workspace, context, workspace.references.all("flights/features"), run)
        assert expecting.of_split(workspace, context, split).version == 1
        return [one.gate for one in training.inspect_split(workspace, context, split, run) if not one.passed]


def test_true_autumn_and_winter_are_expected_and_were_estimated(september: Project, tmp_path: Path) -> None:
    project = later(september, tmp_path / "project", *MONTHS[9:])
    found = seen(project)
    assert list(found) == [*MONTHS[9:]]
    assert not any(gap.exceeds(0.1) for gap in found.values()), {name: gap.said for name, gap in found.items()}
    assert refusals(project) == []
    with project.active() as workspace:
        estimates = estimating.estimate(workspace, project.context())
    assert [one.partition for one in estimates.tested] == [*MONTHS[7:]]
    # A December as none before it: the Brier score is off by a sixth, the order of the rows is not.
    assert 0.01 < estimates.off["auc"] < 0.05 and estimates.off["brier"] < 0.04


def test_ten_minutes_more_on_every_arrival_are_told_and_learned_from_by_nobody(
    september: Project, tmp_path: Path
) -> None:
    project = later(september, tmp_path / "project", OCTOBER, change=arriving(pl.col("arr_delay") + 10))
    gap = seen(project)[OCTOBER]
    assert gap.exceeds(0.1) and gap.outcome > gap.expected + 0.05, gap.said
    assert refusals(project) == ["expectation"]
