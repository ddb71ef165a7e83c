"""Broken features: by the data that arrives, or by the code that makes them."""

from collections.abc import Callable

import polars as pl
import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform_tests.project import APRIL, FEBRUARY, JANUARY, MAY, MODEL, Project, declared
from ml_platform_tests.sabotage.ingestion import FEATURES, INGESTED, function
from ml_platform_tests.sabotage.proof import Proof, assert_leaves_out, assert_none_left, assert_passed, assert_stopped


def without_gusts(share: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """The stations report no gusts on part of the days: few is a calm month, all is a broken feed."""
    return lambda month: month.with_columns(
        pl.when(pl.col("day") > 31 * share).then(pl.col("wind_gust")).alias("wind_gust")
    )


#: Changes of May's rows where they are functions, else changed declarations of the feature set.
PROOFS = {
    "ranges": Proof(without_gusts(1.0), without_gusts(0.9)),
    "leakage": Proof(function("with_departure_delay"), function("with_congestion")),
    "parity": Proof(function("with_congestion_of_the_batch"), function("with_congestion")),
}


@pytest.mark.parametrize("kind", PROOFS)
def test_broken_features_are_refused_by_their_gate_alone(
    kind: str, request: pytest.FixtureRequest, two_months: Callable[[Catalogue], Project]
) -> None:
    change = PROOFS[kind].broken
    if not isinstance(change, dict):
        project: Project = request.getfixturevalue("project")
        project.batches.deliver(MAY, change=change)
        outcome = project.loop(MAY, MAY)
        assert_stopped(outcome, kind, FEATURES, MAY, allowed=INGESTED)
        failed = [MAY]
    else:
        project = two_months(declared(features=change))
        outcome = project.loop(JANUARY, FEBRUARY)
        failed = [JANUARY, FEBRUARY]
        assert not outcome.success
        assert [outcome.failed(FEATURES, month) for month in failed] == [{kind}] * 2
        assert {asset for asset, _ in outcome.materialized} == {FEATURES, *INGESTED}
    assert not project.materializations(f"{MODEL}/split")
    if failed == [MAY]:
        assert_leaves_out(project, MODEL, MAY)
    else:
        assert_none_left(project, MODEL, kind)
    assert all(project.verdicts(f"{FEATURES}/{month}")[kind].status == "failed" for month in failed)


@pytest.mark.parametrize("kind", PROOFS)
def test_their_clean_twin_goes_on_to_the_split(
    kind: str, request: pytest.FixtureRequest, two_months: Callable[[Catalogue], Project]
) -> None:
    change = PROOFS[kind].clean
    if not isinstance(change, dict):
        project: Project = request.getfixturevalue("project")
        project.batches.deliver(MAY, change=change)
        outcome = project.ingest(MAY)
        assert_passed(outcome, FEATURES, MAY, len(PROOFS))
    else:
        project = two_months(declared(features=change))
        outcome = project.ingest(JANUARY, FEBRUARY)
        assert_passed(outcome, FEATURES, FEBRUARY, len(PROOFS))
    split = project.materialize(f"{MODEL}/split", checks=None)
    assert split.success, split.error
    assert split.assets() == {f"{MODEL}/split"}


def test_features_that_were_never_judged_are_not_trained_on(project: Project) -> None:
    project = project.variant(declared(features=function("with_congestion")))
    assert project.ingest(JANUARY, "2013-03-01").success
    assert project.materialize(FEATURES, partition=APRIL).success
    alone = project.materialize(f"{MODEL}/split")
    assert "Refused" in alone.error and "leakage missing" in alone.error and APRIL in alone.error
    assert not alone.materialized


def test_an_outcome_among_the_features_of_the_last_days_is_refused(two_months: Callable[[Catalogue], Project]) -> None:
    project = two_months(declared(features=function("with_arrival_delay_from_day_20")))
    outcome = project.ingest(JANUARY, FEBRUARY)
    # The service has no arrival delay at all and would fail on each request, which parity sees.
    assert outcome.failed(FEATURES, JANUARY) == {"leakage", "parity"}
    assert "serving fails: " in project.verdicts(f"{FEATURES}/{JANUARY}")["parity"].reason
    assert "delay_so_far" in project.verdicts(f"{FEATURES}/{JANUARY}")["leakage"].reason
    assert_none_left(project, MODEL, "leakage")
