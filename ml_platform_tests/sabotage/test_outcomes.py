"""Outcomes that nobody expected: no model learns from them before a person has looked."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform_tests.project import MAY, Project, copy_of, declared, gates
from ml_platform_tests.sabotage.flight_errors import flying
from ml_platform_tests.sabotage.ingestion import Change
from ml_platform_tests.sabotage.models import SPLIT, as_it_is, up_to_registration
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_refuses, assert_stopped

NAME = "beside_an_expectation"
SPLIT_GATES = 3
LENIENT = gates(performance={"min": 0.5}, baseline={"min": -0.5}, champion={"min": -1.0})
JUDGED = declared(models={NAME: {"gates": [*LENIENT, {"gate": "expectation", "max": 0.2}], "decision_threshold": 0.25}})
#: Every flight arrives half an hour later, and left as much later: clocks, times in the air and the rest agree.
PROOFS = {"expectation": Proof(flying(pl.col("arr_delay") + 30), as_it_is)}


@pytest.fixture(scope="module")
def champion(four_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Version 1, trained on January to March and held against April, answers."""
    project = copy_of(four_months, tmp_path_factory.mktemp("outcomes") / "project", JUDGED)
    outcome = up_to_registration(project, NAME)
    assert_passed(outcome, f"{NAME}/{SPLIT}", None, SPLIT_GATES)
    with project.active() as workspace:
        workspace.registry.set_alias(NAME, "champion", 1)
        first = workspace.ledger.judgement(f"{NAME}/split", project.reference(f"{NAME}/split").sha256)["expectation"]
    assert first.reason == "no version answers yet, whose expectation there could be" and first.uncompared
    return project


def with_may(champion: Project, target: Path, change: Change | None = None) -> Project:
    """A copy in which May arrived and was published: no gate on batch and features sees the change."""
    project = copy_of(champion.folder, target, JUDGED)
    project.batches.originals = champion.batches.originals
    project.batches.deliver(MAY, change=change)
    ingested = project.ingest(MAY)
    assert ingested.success, ingested.error
    return project


def test_outcomes_that_are_as_expected_are_learned_from(champion: Project, tmp_path: Path) -> None:
    project = with_may(champion, tmp_path / "clean")
    outcome = up_to_registration(project, NAME)
    assert_passed(outcome, f"{NAME}/{SPLIT}", None, SPLIT_GATES)
    with project.active() as workspace:
        found = workspace.ledger.judgement(f"{NAME}/split", project.reference(f"{NAME}/split").sha256)["expectation"]
    assert found.observed is not None and found.observed < 0.1 and found.reason.startswith(f"{MAY}: ")


def test_falsified_outcomes_are_learned_from_by_nobody(champion: Project, tmp_path: Path) -> None:
    project = with_may(champion, tmp_path / "broken", PROOFS["expectation"].broken)
    outcome = up_to_registration(project, NAME)
    assert_stopped(outcome, "expectation", f"{NAME}/{SPLIT}")
    assert_refuses(project, f"{NAME}/model", "expectation")
