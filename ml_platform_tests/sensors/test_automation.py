"""A person's hand: pause and resume, train now, skip this one; at once, kept in the ledger, from a page as well."""

from typing import Any

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.orchestration.sensors import ORDER
from ml_platform.pipeline.automation import EVERYTHING, act
from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import OTHER, TWO_MODELS, pretend, tick
from ml_platform_tests.shop_project import DATASET, MAY, MODEL, declared


def hand(project: Project, action: Any, name: str = EVERYTHING, reason: str = "holidays") -> str:
    with project.active() as workspace:
        return act(workspace, project.catalogue, action, name, by="ann", reason=reason)


def test_pause_and_resume(ingested: Project) -> None:
    hand(ingested, "pause", MODEL)
    assert tick(ingested).jobs == [f"{OTHER}_train"]
    hand(ingested, "pause")
    ingested.batches.deliver(MAY)
    found = tick(ingested)
    assert found.requests == []
    assert found.skipped == f"{DATASET}: paused by ann (holidays); ml-platform resume lets everything go on"
    hand(ingested, "resume")
    assert tick(ingested).jobs == [f"{DATASET}_ingest"]
    # Everything goes on, but not what was paused by its own name.
    (ingested.batches.folder / f"{MAY}.parquet").unlink()
    assert tick(ingested).jobs == [f"{OTHER}_train"]
    hand(ingested, "resume", MODEL)
    assert tick(ingested).jobs == sorted([f"{MODEL}_train", f"{OTHER}_train"])
    hand(ingested, "pause", MODEL)
    assert tick(ingested).jobs == [f"{OTHER}_train"], "the same words a second time are another pause"


def test_train_now_is_carried_out_once(ingested: Project) -> None:
    silent = ingested.variant(declared(models={**TWO_MODELS, MODEL: {"retrain": {"new_data": False}}}))
    assert tick(silent).jobs == [f"{OTHER}_train"]
    hand(silent, "train", MODEL, "the fair")
    request = next(one for one in tick(silent).requests if one.job_name == f"{MODEL}_train")
    assert "train now, wanted by ann (the fair): trained on " in request.tags["ml_platform/why"]
    import dagster as dg

    pretend(silent, f"{MODEL}_train", dg.DagsterRunStatus.SUCCESS, {ORDER: request.tags[ORDER]})
    assert tick(silent).jobs == [f"{OTHER}_train"]
    hand(silent, "train", MODEL, "the fair")
    assert f"{MODEL}_train" in tick(silent).jobs, "the same words a second time are another order"


def test_skip_this_one(ingested: Project) -> None:
    hand(ingested, "skip", MODEL, "audit")
    assert tick(ingested).jobs == [f"{OTHER}_train"]
    hand(ingested, "train", MODEL)
    assert f"{MODEL}_train" in tick(ingested).jobs


def test_what_cannot_be_meant_is_refused(ingested: Project) -> None:
    with pytest.raises(PlatformError, match=f"pause: there is no dataset or model '{MODEL}s'.*did you mean '{MODEL}'"):
        hand(ingested, "pause", f"{MODEL}s")
    with pytest.raises(PlatformError, match=f"train: there is no model '{DATASET}'"):
        hand(ingested, "train", DATASET)
    with pytest.raises(PlatformError, match="give a name and a reason"):
        hand(ingested, "pause", MODEL, " ")


def test_from_the_page(ingested: Project) -> None:
    job = ingested.definitions.resolve_job_def("hand")
    config = {"action": "pause", "name": MODEL, "by": "ann", "reason": "holidays"}
    with ingested.active():
        assert job.execute_in_process(
            instance=ingested.instance, run_config={"ops": {"lay_a_hand_on": {"config": config}}}
        ).success
    assert tick(ingested).jobs == [f"{OTHER}_train"]
    (entry,) = ingested.entries(kind="automation")
    assert entry.body == {"action": "pause", "by": "ann", "because": "holidays"}
