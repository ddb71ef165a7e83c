"""The sensor ``live`` asks for what services answered once a day is over, and for nothing twice."""

from datetime import date

import dagster as dg
import numpy as np
import polars as pl

from ml_platform_tests.pipeline.served import rows_of, serve
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import pretend, tick
from ml_platform_tests.shop_project import MAY, MODEL

JOB = f"{MODEL}_live"


def at(project: Project, now: str) -> Project:
    return project.variant(project.catalogue, ML_PLATFORM_NOW=now)


def test_days_that_are_over_are_asked_for_once(ingested: Project) -> None:
    nothing = tick(at(ingested, "2024-05-02T08:00:00"), "live")
    assert not nothing.requests and f"{MODEL}: every day of predictions that is over is ingested" in nothing.skipped
    rows = rows_of(ingested, MAY).filter(pl.col("day") <= date(2024, 5, 3))
    serve(ingested, rows, predictions=np.zeros(rows.height))
    assert not tick(at(ingested, "2024-05-01T23:59:59"), "live").requests
    project = at(ingested, "2024-05-03T00:00:00")
    first = tick(project, "live")
    assert first.jobs == [JOB] and "predictions of 2024-05-01, 2024-05-02" in first.why
    pretend(project, JOB, dg.DagsterRunStatus.STARTED, first.only.tags)
    assert f"{MODEL}: ingestion of predictions" in tick(project, "live").skipped


def test_what_was_asked_for_is_ingested(ingested: Project) -> None:
    rows = rows_of(ingested, MAY).filter(pl.col("day") <= date(2024, 5, 3))
    serve(ingested, rows, predictions=np.zeros(rows.height))
    project = at(ingested, "2024-05-04T00:00:00")
    assert tick(project, "live").jobs == [JOB]
    outcome = project.execute(JOB)
    assert outcome.success, outcome.error
    assert not tick(project, "live").requests
    assert project.reference(f"{MODEL}/predictions").rows == rows.height
