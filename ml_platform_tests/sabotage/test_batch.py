"""Broken batches: May arrives after four good months."""

import polars as pl
import pytest

from ml_platform.proving.batches import sent_twice
from ml_platform_tests.project import APRIL, MAY, Project, declared
from ml_platform_tests.sabotage.ingestion import BATCH, DATASET, GATES, Change, cut_off, up_to_publication
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_refuses, assert_stopped

#: The example with a quarantine: rows that break a rule are set aside, up to this share.
QUARANTINING = declared(dataset={"quarantine": {"max": 0.02}})


def carrier_renamed(code: str, by: str) -> Change:
    """An airline comes under another code, in small letters or as a new one."""
    return lambda month: month.with_columns(pl.col("carrier").replace(code, by))


def hours_as_local_time(month: pl.DataFrame) -> pl.DataFrame:
    """The instant of departure is written as local time and read as UTC: four hours early in May."""
    return month.with_columns(pl.col("time_hour") - pl.duration(hours=4))


def one_day_later(month: pl.DataFrame) -> pl.DataFrame:
    """One flight that arrives a day late: strange, and in agreement with its times."""
    late = pl.col("arr_delay") == month["arr_delay"].max()
    return month.with_columns(pl.when(late).then(pl.col("arr_delay") + 1440).otherwise("arr_delay").alias("arr_delay"))


def station_down(share: float) -> Change:
    """The weather feed was down for the first days of the month."""
    readings = ["temp", "dewp", "humid"]
    return lambda month: month.with_columns(
        pl.when(pl.col("day") > 31 * share).then(pl.col(name)).alias(name) for name in readings
    )


def a_busy_month(month: pl.DataFrame) -> pl.DataFrame:
    """As many more rows, of other flights by other aeroplanes."""
    more = month[500:600].with_columns(
        pl.col("flight") % 1000 + 9000, tailnum=pl.format("N{}QQ", pl.int_range(100, 100 + pl.len()))
    )
    return pl.concat([month, more])


def with_a_page_of(month: str) -> Change:
    """At the end comes a page of that month's file, with flights that are not there yet."""
    from ml_platform.defs.flights.source import KEY, source

    return lambda rows: pl.concat([rows, source.read(month).head(100)]).unique(KEY, keep="first", maintain_order=True)


def unreadable(every: int) -> Change:
    """Airline codes that got lost on the way, in one of so many rows."""
    lost = pl.int_range(pl.len()) % every == 0
    return lambda month: month.with_columns(pl.when(lost).then(pl.lit("??")).otherwise("carrier").alias("carrier"))


PROOFS = {
    "schema": Proof(carrier_renamed("UA", "ua"), carrier_renamed("UA", "AS")),
    "rules": Proof(hours_as_local_time, one_day_later),
    "missing": Proof(station_down(0.4), station_down(0.15)),
    "duplicates": Proof(sent_twice, a_busy_month),
    "window": Proof(with_a_page_of(APRIL), with_a_page_of(MAY)),
    "volume": Proof(cut_off(15), cut_off(27)),
    "quarantine": Proof(unreadable(20), unreadable(100)),
}


def of(kind: str, project: Project) -> tuple[Project, int]:
    """The project in which a kind of batch gate is declared, and its number of batch gates."""
    return (project.variant(QUARANTINING), GATES + 1) if kind == "quarantine" else (project, GATES)


@pytest.mark.parametrize("kind", PROOFS)
def test_a_broken_batch_is_refused_by_its_gate_alone(kind: str, project: Project) -> None:
    project, _ = of(kind, project)
    project.batches.deliver(MAY, change=PROOFS[kind].broken)
    outcome = up_to_publication(project, MAY)
    assert_stopped(outcome, kind, BATCH, MAY)
    assert_refuses(project, DATASET, kind, MAY)
    assert MAY not in project.published()
    assert project.verdicts(f"flights/batch/{MAY}")[kind].status == "failed"


@pytest.mark.parametrize("kind", PROOFS)
def test_its_clean_twin_is_published(kind: str, project: Project) -> None:
    project, count = of(kind, project)
    project.batches.deliver(MAY, change=PROOFS[kind].clean)
    assert not project.batches.original(MAY).equals(pl.read_parquet(project.batches.folder / f"{MAY}.parquet"))
    outcome = up_to_publication(project, MAY)
    assert_passed(outcome, BATCH, MAY, count)
    assert outcome.assets(MAY) == {BATCH, DATASET}
    assert MAY in project.published()


def test_other_content_than_was_judged_is_not_published(project: Project) -> None:
    project.batches.deliver(MAY)
    judged = project.materialize(BATCH, partition=MAY, checks=None)
    assert_passed(judged, BATCH, MAY, GATES)
    project.batches.deliver(MAY, change=lambda month: month.head(2990))
    assert project.materialize(BATCH, partition=MAY).success

    alone = project.materialize(DATASET, partition=MAY)
    assert "Refused" in alone.error
    for gate in project.catalogue.dataset("flights").gates:
        assert f"{gate.name} missing" in alone.error
    assert MAY not in project.published()


def test_a_changed_threshold_makes_old_verdicts_not_count(project: Project) -> None:
    def with_volume(least: float) -> Project:
        gates = [
            {
                **gate.model_dump(exclude_none=True, exclude_defaults=True),
                **({"min": least} if gate.gate == "volume" else {}),
            }
            for gate in project.catalogue.dataset("flights").gates
        ]
        return project.variant(declared(dataset={"gates": gates}))

    project.batches.deliver(MAY)
    assert project.materialize(BATCH, partition=MAY, checks=None).success
    # What was judged otherwise is judged again by the step that needs it: refused where it fails now …
    out_of_reach = with_volume(1.2)
    assert_refuses(out_of_reach, DATASET, "volume", MAY)
    assert MAY not in project.published()
    # … and published where it passes, under a verdict of its own.
    stricter = with_volume(0.9)
    assert stricter.materialize(DATASET, partition=MAY).success
    assert MAY in stricter.published()
    assert [
        entry.body["threshold"] for entry in stricter.entries(subject_name=f"{BATCH}/{MAY}") if entry.gate == "volume"
    ] == ["at least 0.8 and at most 1.25", "at least 1.2 and at most 1.25", "at least 0.9 and at most 1.25"]


def test_a_gate_that_cannot_judge_holds_back(project: Project) -> None:
    """The key names a column that a new schema has no more: duplicates cannot be counted."""
    unjudgeable = project.variant(declared(dataset={"key": ["year", "month", "day", "callsign"]}))
    project.batches.deliver(MAY)
    outcome = unjudgeable.ingest(MAY)
    assert_stopped(outcome, "duplicates", BATCH, MAY)
    assert project.verdicts(f"flights/batch/{MAY}")["duplicates"].status == "errored"
    alone = unjudgeable.materialize(DATASET, partition=MAY)
    assert "Refused" in alone.error and "duplicates errored" in alone.error and "callsign" in alone.error
    assert sorted(project.published())[-1] == APRIL
