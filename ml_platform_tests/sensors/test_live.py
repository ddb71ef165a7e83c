"""The sensor ``live`` asks for what services answered once a day is over, and for nothing twice."""

from datetime import date

import dagster as dg
import numpy as np
import polars as pl
import pytest

from ml_platform.orchestration.live import REASON
from ml_platform_tests.pipeline.served import rows_of, serve
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import pretend, tick
from ml_platform_tests.shop_project import MAY, MODEL

JOB = f"{MODEL}_live"


def at(project: Project, now: str) -> Project:
    return project.variant(project.catalogue, ML_PLATFORM_NOW=now)


def test_days_that_are_over_are_asked_for_once(ingested: Project) -> None:
    nothing = tick(at(ingested, "2024-05-02T08:00:00"), "live")
    assert not nothing.requests and f"{MODEL}: no day of predictions is over" in nothing.skipped
    rows = rows_of(ingested, MAY).filter(pl.col("day") <= date(2024, 5, 3))
    serve(ingested, rows, predictions=np.zeros(rows.height))
    assert not tick(at(ingested, "2024-05-01T23:59:59"), "live").requests
    project = at(ingested, "2024-05-03T00:00:00")
    first = tick(project, "live")
    assert first.jobs == [JOB] and "predictions or their labels changed" in first.why
    pretend(project, JOB, dg.DagsterRunStatus.STARTED, first.only.tags)
    assert f"{MODEL}: a look at its predictions" in tick(project, "live").skipped


@pytest.mark.slow
def test_what_was_asked_for_is_measured_and_again_once_labels_come(ingested: Project) -> None:
    rows = rows_of(ingested, MAY)
    serve(ingested, rows, predictions=np.linspace(0, 1, rows.height))
    project = at(ingested, "2024-06-01T00:00:00")
    asked = tick(project, "live").only
    outcome = project._execute(project.definitions.resolve_job_def(JOB), tags=asked.tags)
    assert outcome.success, outcome.error
    assert outcome.assets() == {f"{MODEL}/{name}" for name in ("predictions", "live_performance", "live_drift")}
    assert project.reference(f"{MODEL}/predictions").rows == rows.height
    done = tick(project, "live")
    assert not done.requests and "28 days of predictions are measured by all labels that are published" in done.skipped
    # The month that they belong to is published.
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    again = tick(project, "live").only
    assert again.tags[REASON] != asked.tags[REASON]
    outcome = project._execute(project.definitions.resolve_job_def(JOB), tags=again.tags)
    assert outcome.success, outcome.error
    assert project.reference(f"{MODEL}/live_performance").labelled > 0.9 * rows.height
    assert not tick(project, "live").requests
