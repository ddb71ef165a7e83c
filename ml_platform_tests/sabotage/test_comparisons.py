"""Broken batches and features that only a look at earlier batches, the clock or the labels gives away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform_tests.project import APRIL, FEBRUARY, JANUARY, MAY, MODEL, MONTHS, Project, copy_of, declared
from ml_platform_tests.sabotage import variants
from ml_platform_tests.sabotage.ingestion import (
    BATCH,
    DATASET,
    FEATURES,
    GATES,
    INGESTED,
    Change,
    cut_off,
    function,
    up_to_publication,
)
from ml_platform_tests.sabotage.proof import (
    Proof,
    assert_leaves_out,
    assert_none_left,
    assert_passed,
    assert_refuses,
    assert_stopped,
)

#: The example with every gate that compares, and those of the example.
COMPARING = declared(
    dataset={
        "gates": [
            *(gate.model_dump(exclude_none=True) for gate in declared().dataset("flights").gates),
            {"gate": "distribution", "metric": "psi", "columns": ["distance", "wind_speed", "carrier"], "max": 0.25},
            {"gate": "freshness", "max": 2},
            {"gate": "referential", "columns": ["origin", "dest"], "max": 0.02},
        ]
    }
)
COMPARING_FEATURES = [
    {"gate": "ranges"},
    {"gate": "leakage"},
    {"gate": "parity"},
    # No public holiday is near in March and April.
    {"gate": "constancy", "columns": ["days_to_holiday"]},
    {"gate": "single_feature", "columns": ["late", "arr_delay"], "max": 0.8},
]


def wind(factor: float) -> Change:
    """The wind comes in another unit, or is measured a little higher."""
    return lambda month: month.with_columns(pl.col("wind_speed") * factor)


def renamed_airport(code: str, by: str) -> Change:
    """An airport of arrival comes under another code."""
    return lambda month: month.with_columns(pl.col("dest").replace(code, by))


def legs_up_to(most: int) -> Change:
    """Flights of one aeroplane are counted no further than this: for one, the count says nothing."""
    return lambda month: month.with_columns(pl.col("tail_leg").fill_null(1).clip(1, most))


BATCHES = {
    # Metres per second instead of miles per hour: every value is possible.
    "distribution": Proof(wind(0.447), wind(1.02)),
    "freshness": Proof(cut_off(27), cut_off(29)),
    "referential": Proof(renamed_airport("ATL", "KAT"), renamed_airport("AVL", "KAV")),
}
FEATURE_ROWS = {"constancy": Proof(legs_up_to(1), legs_up_to(2))}
#: The schema does not say that departure delays are known only afterwards, so that the leak check is blind.
FEATURE_CODE = {"single_feature": Proof("with_departure_delay", "with_congestion")}
PROOFS = {**BATCHES, **FEATURE_ROWS, **FEATURE_CODE}


@pytest.fixture
def comparing(project: Project) -> Project:
    """The four months under declarations that compare."""
    return project.variant(COMPARING)


@pytest.mark.parametrize("kind", BATCHES)
def test_a_broken_batch_is_refused_by_its_gate_alone(kind: str, comparing: Project) -> None:
    comparing.batches.deliver(MAY, change=BATCHES[kind].broken)
    gate = {"distribution": "distribution_psi"}.get(kind, kind)
    outcome = up_to_publication(comparing, MAY)
    assert_stopped(outcome, gate, BATCH, MAY)
    assert_refuses(comparing, DATASET, gate, MAY)
    assert MAY not in comparing.published()


@pytest.mark.parametrize("kind", BATCHES)
def test_its_clean_twin_is_published(kind: str, comparing: Project) -> None:
    comparing.batches.deliver(MAY, change=BATCHES[kind].clean)
    outcome = up_to_publication(comparing, MAY)
    assert_passed(outcome, BATCH, MAY, GATES + len(BATCHES))
    assert MAY in comparing.published()


def with_feature_gates(schema: str = "", name: str = "") -> dict[str, Any]:
    """Declarations of the feature gates that compare."""
    features = {"gates": COMPARING_FEATURES, **(function(name) if name else {})}
    return {"features": features, "dataset": {"schema": schema} if schema else {}}


FEATURED = declared(**with_feature_gates())


@pytest.fixture(scope="module")
def featured(four_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose features of four months passed the gates that compare."""
    folder = tmp_path_factory.mktemp("featured") / "project"
    assert copy_of(four_months, folder, FEATURED).ingest(JANUARY, APRIL).success
    (folder.parent / "flights").symlink_to(four_months.parent / "flights")
    return folder


@pytest.mark.parametrize("part", ["broken", "clean"])
def test_a_feature_that_has_become_constant(part: str, featured: Path, tmp_path: Path) -> None:
    project = copy_of(featured, tmp_path / "project", FEATURED)
    change: Callable[[pl.DataFrame], pl.DataFrame] = getattr(FEATURE_ROWS["constancy"], part)
    project.batches.deliver(MAY, change=change)
    outcome = project.loop(MAY, MAY) if part == "broken" else project.ingest(MAY)
    if part == "clean":
        assert_passed(outcome, FEATURES, MAY, len(COMPARING_FEATURES))
        return
    assert_stopped(outcome, "constancy", FEATURES, MAY, allowed=INGESTED)
    assert "tail_leg" in project.verdicts(f"{FEATURES}/{MAY}")["constancy"].reason
    assert not project.materializations(f"{MODEL}/split")
    assert_leaves_out(project, MODEL, MAY)


@pytest.mark.parametrize("part", ["broken", "clean"])
def test_a_feature_that_gives_the_outcome_away(part: str, two_months: Callable[[Catalogue], Project]) -> None:
    name = getattr(FEATURE_CODE["single_feature"], part)
    project = two_months(declared(**with_feature_gates(f"{variants.__name__}:ForgetfulFlights", name)))
    outcome = project.ingest(JANUARY, FEBRUARY)
    if part == "clean":
        assert_passed(outcome, FEATURES, JANUARY, len(COMPARING_FEATURES))
        return
    assert [outcome.failed(FEATURES, month) for month in MONTHS[:2]] == [{"single_feature"}] * 2
    assert "dep_delay alone" in project.verdicts(f"{FEATURES}/{JANUARY}")["single_feature"].reason
    assert_none_left(project, MODEL, "single_feature")
