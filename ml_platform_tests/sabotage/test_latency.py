"""A service that answers right, and too late."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.rollout import control
from ml_platform.serving import packaging
from ml_platform_tests.conftest import ports
from ml_platform_tests.project import MAY, MODEL, Project, copy_of, declared, gates
from ml_platform_tests.sabotage.proof import Proof
from ml_platform_tests.sabotage.test_service import SERVICE_GATES, edited

pytestmark = pytest.mark.slow

#: Far above what a busy machine takes, and below what the break adds.
TIMED = declared(models={MODEL: {"gates": [*gates(), {"gate": "latency", "max": 300}]}})
LINE = "    there = set(raw_inputs.columns)\n"


def waiting(seconds: float) -> str:
    """One of twenty requests waits so long for another system."""
    wait = f"    if random.random() < 0.05:\n        time.sleep({seconds})\n"
    return f"    import random\n    import time\n\n{wait}{LINE}"


PROOFS = {
    "latency": Proof(
        edited("ml_platform/features/build.py", LINE, waiting(0.4)),
        edited("ml_platform/features/build.py", LINE, waiting(0.001)),
    )
}


@pytest.fixture(scope="module")
def shop(four_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a registered model whose service is timed."""
    folder = tmp_path_factory.mktemp("latency") / "project"
    project = copy_of(four_months, folder, TIMED, ML_PLATFORM_PORTS=ports(3440, 20))
    project.batches.deliver(MAY)
    assert project.ingest(MAY).success
    steps = [f"{MODEL}/{step}" for step in ("split", "model", "evaluation", "registered_model")]
    assert project.materialize(*steps, checks=None).success
    yield project
    with project.active() as workspace:
        control.stop_all(workspace.settings)


@pytest.mark.parametrize("part", ["broken", "clean"])
def test_a_service_is_timed(part: str, shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks = getattr(PROOFS["latency"], part)
    monkeypatch.setattr(packaging, "stage_code", breaks(packaging.stage_code))
    outcome = shop.materialize(f"{MODEL}/service", checks=None)
    if part == "clean":
        assert outcome.passed(f"{MODEL}/service") == {*SERVICE_GATES, "latency"}
        return
    assert outcome.failed(f"{MODEL}/service") == {"latency"}
    assert outcome.passed(f"{MODEL}/service") == set(SERVICE_GATES)
    alone = shop.materialize(f"{MODEL}/deployment")
    assert not alone.materialized and "latency failed" in alone.error
