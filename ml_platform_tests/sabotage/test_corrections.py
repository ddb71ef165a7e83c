"""A month that is published arrives again: what it changes is held against what it replaces."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data
from ml_platform.pipeline.published_verdicts import published_ref
from ml_platform_tests.project import APRIL, MAY, Project, declared
from ml_platform_tests.sabotage.flight_errors import EXAMPLE, arriving, turned_round
from ml_platform_tests.sabotage.ingestion import BATCH, DATASET, GATES, Change
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_stopped

GATE = next(gate for gate in EXAMPLE if gate["gate"] == "correction")
BASE = [gate.model_dump(exclude_none=True) for gate in declared().dataset("flights").gates]
CORRECTED = declared(dataset={"gates": [*BASE, GATE]})


def some(every: int) -> pl.Expr:
    return pl.int_range(pl.len()) % every == 0


def late_reports(month: pl.DataFrame) -> pl.DataFrame:
    """Of two hundred aeroplanes that nobody knew the year is known now."""
    unknown = pl.col("plane_year").is_null() & (pl.col("plane_year").is_null().cum_sum() <= 200)
    return month.with_columns(plane_year=pl.when(unknown).then(2001).otherwise("plane_year"))


#: A fifth of the labels turned round; one in a hundred.
PROOFS = {"correction": Proof(arriving(turned_round(some(5))), arriving(turned_round(some(100))))}


def a_little_more(month: pl.DataFrame) -> pl.DataFrame:
    """The broken month with one year of an aeroplane that is another."""
    broken = PROOFS["correction"].broken(month)
    year = pl.col("plane_year")
    return broken.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(year - 1).otherwise(year).alias("plane_year"))


def test_a_correction_that_changes_much_is_refused_until_a_person_lets_it_pass(
    project_of: Callable[..., Project],
) -> None:
    project = project_of(CORRECTED)
    before = project.published()[APRIL]
    project.batches.deliver(APRIL, change=PROOFS["correction"].broken)
    assert_stopped(project.ingest(APRIL), "correction", BATCH, APRIL)
    verdict = project.verdicts(f"{BATCH}/{APRIL}")["correction"]
    assert verdict.compared["replaced"] == before and "arr_delay" in verdict.reason, verdict
    with project.active() as workspace:
        run = Run.new()
        workspace.ledger.override(
            verdict, by="ann", reason="a late report", days=2, run_id=run.id, provenance=run.provenance
        )
    assert project.materialize(DATASET, partition=APRIL).success
    assert project.published()[APRIL] == verdict.subject != before
    # What comes after it answers to what the person accepted.
    project.batches.deliver(APRIL, change=a_little_more)
    assert project.ingest(APRIL).success
    assert project.verdicts(f"{BATCH}/{APRIL}")["correction"].compared["replaced"] == verdict.subject


def test_what_was_published_under_a_looser_gate_is_no_measure_for_what_comes_after_it(
    project_of: Callable[..., Project],
) -> None:
    loose = project_of(declared(dataset={"gates": [*BASE, {**GATE, "max": 1.0}]}))
    first = loose.published()[APRIL]
    loose.batches.deliver(APRIL, change=PROOFS["correction"].broken)
    assert loose.ingest(APRIL).success and loose.published()[APRIL] != first
    strict = loose.variant(CORRECTED)
    assert_stopped(strict.ingest(APRIL), "correction", BATCH, APRIL)
    strict.batches.deliver(APRIL, change=a_little_more)
    assert_stopped(strict.ingest(APRIL), "correction", BATCH, APRIL)
    assert strict.verdicts(f"{BATCH}/{APRIL}")["correction"].compared["replaced"] == first


def test_a_refused_correction_leaves_what_is_published(project_of: Callable[..., Project]) -> None:
    project = project_of(CORRECTED)
    before = project.published()[APRIL]
    project.batches.deliver(APRIL, change=PROOFS["correction"].broken)
    assert not project.ingest(APRIL).success
    alone = project.materialize(DATASET, partition=APRIL)
    assert "correction failed" in alone.error and project.published()[APRIL] == before


@pytest.mark.parametrize("change", [PROOFS["correction"].clean, late_reports], ids=["few labels", "what was unknown"])
def test_its_clean_twin_is_published_and_judged_again_against_the_same(
    change: Change, project_of: Callable[..., Project]
) -> None:
    project = project_of(CORRECTED)
    before = project.published()[APRIL]
    project.batches.deliver(APRIL, change=change)
    assert_passed(project.ingest(APRIL), BATCH, APRIL, GATES + 1)
    verdict = project.verdicts(f"{BATCH}/{APRIL}")["correction"]
    assert project.published()[APRIL] == verdict.subject
    with project.active() as workspace:
        spec, run = CORRECTED.dataset("flights"), Run.new()
        again: dict[str, Any] = {}
        for one in data.audit(workspace, spec, published_ref(workspace, spec, APRIL, verdict.subject, run), run):
            again[one.gate] = one
    assert again["correction"].compared["replaced"] == before, "not with itself"
    assert again["correction"].observed == verdict.observed


def test_what_comes_for_the_first_time_replaces_nothing(project_of: Callable[..., Project]) -> None:
    project = project_of(CORRECTED)
    project.batches.deliver(MAY)
    assert_passed(project.ingest(MAY), BATCH, MAY, GATES + 1)
    assert project.verdicts(f"{BATCH}/{MAY}")["correction"].observed == 0


def test_the_rest_of_a_month_is_none_and_is_held_to_from_then_on(project_of: Callable[..., Project]) -> None:
    few = [gate for gate in BASE if gate["gate"] in ("schema", "window", "duplicates")]
    project = project_of(declared(dataset={"gates": [*few, GATE]}))

    def until_the_12th(month: pl.DataFrame) -> pl.DataFrame:
        return month.filter(pl.col("day") <= 12)

    project.batches.deliver(MAY, change=until_the_12th)
    assert project.ingest(MAY).success
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    verdict = project.verdicts(f"{BATCH}/{MAY}")["correction"]
    assert verdict.observed == 0 and "later ones are no correction" in verdict.reason
    last = pl.col("day") > 20
    project.batches.deliver(MAY, change=arriving(turned_round(last)))
    assert_stopped(project.ingest(MAY), "correction", BATCH, MAY)
    found = project.verdicts(f"{BATCH}/{MAY}")["correction"]
    assert verdict.subject in found.compared.values()


def test_many_small_corrections_are_one_large_one(project_of: Callable[..., Project]) -> None:
    project = project_of(CORRECTED)
    first = project.published()[APRIL]

    def turned(count: int) -> Change:
        rows = pl.int_range(pl.len())
        return arriving(turned_round(rows % 100 < count))

    # Each turns one label in a hundred more than the one before it, and no more than two are allowed.
    for count in (1, 2):
        project.batches.deliver(APRIL, change=turned(count))
        assert project.ingest(APRIL).success
    project.batches.deliver(APRIL, change=turned(3))
    assert_stopped(project.ingest(APRIL), "correction", BATCH, APRIL)
    assert project.verdicts(f"{BATCH}/{APRIL}")["correction"].compared["replaced"] == first
