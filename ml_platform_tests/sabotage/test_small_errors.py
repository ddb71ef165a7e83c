"""Small errors in whole months of flights: some days, one airline, one airport, a few hours, a few degrees."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform_tests.project import (
    APRIL,
    JANUARY,
    MAY,
    MONTHS,
    Project,
    copy_of,
    declared,
    new_project,
    sample_months,
)
from ml_platform_tests.sabotage import variants
from ml_platform_tests.sabotage.flight_errors import (
    EXAMPLE,
    LAGUARDIA,
    arriving,
    days,
    flying,
    in_unit,
    lost,
    observed,
    sent_again,
    turned_round,
    warmer,
    weather_of,
    with_delay,
    without_arrivals,
)
from ml_platform_tests.sabotage.ingestion import BATCH, DATASET, GATES, up_to_publication
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_refuses, assert_stopped

#: Whole months are what the sizes of these errors mean; on small tables the same gates are tried in `gates/`.
pytestmark = pytest.mark.slow

#: By kind of gate: what it alone catches, and the nearest thing that is in order.
PROOFS = {
    "coverage": Proof(lost(days(10, 11), 1.0), lost(days(10, 11), 0.25)),
    # Some of the flights, so that no day is full of them; the twin comes with other aeroplanes.
    "near_duplicates": Proof(
        sent_again(pl.int_range(pl.len()) % 125 == 0),
        sent_again(pl.int_range(pl.len()) % 125 == 0, pl.lit("N00000").alias("tailnum")),
    ),
    # Nautical miles; and an airline that rounds in its own way.
    "dependency": Proof(in_unit(0.869, "UA"), in_unit(1.002, "UA")),
    "labels": Proof(
        flying(turned_round(LAGUARDIA)), flying(turned_round(LAGUARDIA & (pl.int_range(pl.len()) % 20 == 0)))
    ),
    # One flight in fifty; and a whole hour at an airport, which nobody is there to miss.
    "counts": Proof(
        lost(pl.int_range(pl.len()) % 50 == 0, 1.0), lost(days(10, 10) & LAGUARDIA & (pl.col("hour") == 8), 1.0)
    ),
    "association": Proof(with_delay(pl.lit(True)), with_delay(pl.int_range(pl.len()) % 50 == 0)),
    "observation_age": Proof(observed(7, days(20, 21)), observed(4, days(20, 21))),
}
DECLARED: dict[str, dict[str, Any]] = {
    kind: next(gate for gate in EXAMPLE if gate["gate"] == kind and gate.get("metric") in (None, "change"))
    for kind in PROOFS
    if kind != "observation_age"
} | {"observation_age": {"gate": "observation_age", "columns": ["time_hour", "observed"], "max": 5}}
BASE = [gate.model_dump(exclude_none=True) for gate in declared().dataset("flights").gates]


def catalogue(kind: str) -> Catalogue:
    """The gates of the other proofs, and the one to prove."""
    schema = {"schema": f"{variants.__name__}:ObservedFlights"} if kind == "observation_age" else {}
    return declared(dataset={"gates": [*BASE, DECLARED[kind]], **schema})


#: All of them at once, for the walk over every kind.
SMALL = declared(dataset={"gates": [*BASE, *DECLARED.values()]})
#: The errors that went through before, with the gate that finds each.
ERRORS = {
    "weather joined five hours late": (weather_of(5), "distribution_profile"),
    "kilometres of one airline": (in_unit(1.609, "UA"), "dependency"),
    "five days delivered twice": (sent_again(days(10, 14)), "near_duplicates"),
    "the last six days without arrivals": (without_arrivals(days(26, 31)), "labels_known"),
    "temperature and dew point 12 °C higher": (warmer(21.6), "rules"),
    "labels of one airport turned round": (arriving(turned_round(LAGUARDIA)), "labels_change"),
    "no delay in the last seven days": (
        arriving(pl.when(days(25, 31)).then(0).otherwise("arr_delay")),
        "labels_lowest_rate",
    ),
}


@pytest.fixture(scope="module")
def whole_months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project in which all flights of January to April are published."""
    root = tmp_path_factory.mktemp("whole")
    project = new_project(root / "ingested", sample_months(root / "flights", rows=None), arrived=MONTHS[:4])
    outcome = project.ingest(JANUARY, APRIL)
    assert outcome.success, outcome.error
    yield root / "ingested"
    shutil.rmtree(root)


@pytest.fixture
def project_of(whole_months: Path, tmp_path: Path) -> Callable[[Catalogue], Project]:
    """A copy of it with other declarations."""
    return lambda catalogue: copy_of(whole_months, tmp_path / "project", catalogue)


@pytest.mark.parametrize("kind", PROOFS)
def test_a_small_error_is_refused_by_its_gate_alone(kind: str, project_of: Callable[[Catalogue], Project]) -> None:
    project = project_of(catalogue(kind))
    project.batches.deliver(MAY, change=PROOFS[kind].broken)
    name = "labels_change" if kind == "labels" else kind
    assert_stopped(up_to_publication(project, MAY), name, BATCH, MAY)
    assert_refuses(project, DATASET, name, MAY)
    assert MAY not in project.published()


@pytest.mark.parametrize("kind", PROOFS)
def test_its_clean_twin_is_published(kind: str, project_of: Callable[[Catalogue], Project]) -> None:
    project = project_of(catalogue(kind))
    project.batches.deliver(MAY, change=PROOFS[kind].clean)
    assert_passed(up_to_publication(project, MAY), BATCH, MAY, GATES + 1)
    assert MAY in project.published()


@pytest.mark.parametrize("error", ERRORS)
def test_the_example_refuses_a_small_error_before_it_is_published(
    error: str, project_of: Callable[[Catalogue], Project]
) -> None:
    change, gate = ERRORS[error]
    project = project_of(declared(dataset={"gates": EXAMPLE}))
    project.batches.deliver(MAY, change=change)
    outcome = up_to_publication(project, MAY)
    assert gate in outcome.failed(BATCH, MAY)
    assert {name for name, _ in outcome.materialized} == {BATCH}
    verdict = project.verdicts(f"{BATCH}/{MAY}")[gate]
    assert verdict.status == "failed" and verdict.blocking, verdict
    assert MAY not in project.published()


def test_the_example_publishes_the_month_as_it_was(project_of: Callable[[Catalogue], Project]) -> None:
    project = project_of(declared(dataset={"gates": EXAMPLE}))
    project.batches.deliver(MAY)
    assert_passed(up_to_publication(project, MAY), BATCH, MAY, len(EXAMPLE))
