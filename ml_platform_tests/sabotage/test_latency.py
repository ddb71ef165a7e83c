"""A service that answers right, and too late."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_platform.gates.gate import Verdict
from ml_platform.rollout import control
from ml_platform.serving import load
from ml_platform_tests.conftest import ports
from ml_platform_tests.project import MODEL, Outcome, Project, copy_of, declared, gates
from ml_platform_tests.sabotage.packages import SERVICE_GATES, Package, entered
from ml_platform_tests.sabotage.proof import Proof
from ml_platform_tests.sabotage.steps import exchange

pytestmark = pytest.mark.slow

#: Far above what a busy machine takes, and below what the breaks add.
LATENCY = {"gate": "latency", "rate": 50, "max": 2000}
TIMED = declared(models={MODEL: {"gates": [*gates(), LATENCY]}})

#: Each request waits for another system, and all others with it, since there is one at a time. By itself it is answered
#: fast enough; fifty a second are more than there is time for.
PROOFS = {"latency": Proof(entered("waiting", seconds=0.03), entered("waiting", seconds=0.001))}
#: One request in a hundred waits for long.
STALLING = entered("waiting", seconds=3, every=100)


@pytest.fixture(scope="module")
def shop(five_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a registered model whose service is timed."""
    folder = tmp_path_factory.mktemp("latency") / "project"
    project = copy_of(five_months, folder, TIMED, ML_PLATFORM_PORTS=ports(3440, 20))
    steps = [f"{MODEL}/{step}" for step in ("split", "model", "evaluation", "registered_model")]
    assert project.materialize(*steps, checks=None).success
    yield project
    with project.active() as workspace:
        control.stop_all(workspace.settings)


def packaged(shop: Project, breaks: Callable[[Package], Package], monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """The service, entered through a fault, and its checks."""
    exchange(monkeypatch, "package", breaks)
    return shop.materialize(f"{MODEL}/service", checks=None)


def verdict_of(project: Project, gate: str) -> Verdict:
    """The latest verdict of a gate on the packaged service."""
    with project.active() as workspace:
        return workspace.ledger.verdicts(project.reference(f"{MODEL}/service").sha256)[gate]


@pytest.mark.parametrize("breaks", [PROOFS["latency"].broken, STALLING], ids=["overload", "stalls"])
def test_a_slow_service_is_refused(
    breaks: Callable[[Package], Package], shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = packaged(shop, breaks, monkeypatch)
    assert outcome.failed(f"{MODEL}/service") == {"latency"}
    assert outcome.passed(f"{MODEL}/service") == set(SERVICE_GATES)
    assert outcome.assets() == {f"{MODEL}/service"}
    alone = shop.materialize(f"{MODEL}/deployment")
    assert not alone.materialized and "latency failed" in alone.error


def test_what_fails_under_load_is_fast_enough_for_one_request_at_a_time(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = shop.variant(declared(models={MODEL: {"gates": [*gates(), {**LATENCY, "rate": 8}]}}))
    monkeypatch.setattr(load, "REQUESTS", 40)
    outcome = packaged(seldom, PROOFS["latency"].broken, monkeypatch)
    assert outcome.passed(f"{MODEL}/service") == {*SERVICE_GATES, "latency"}
    assert (verdict_of(seldom, "latency").observed or 0) >= 30


def test_a_service_that_keeps_up_passes_and_its_times_are_recorded_once(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = packaged(shop, PROOFS["latency"].clean, monkeypatch)
    assert outcome.passed(f"{MODEL}/service") == {*SERVICE_GATES, "latency"}
    found = verdict_of(shop, "latency")
    (table,) = found.details["load"]
    assert found.support == table["requests"] == load.REQUESTS
    assert table["rate asked"] == 50 and table["rate achieved"] <= 50
    before = shop.holdings().ledger
    again = shop.materialize(checks=[f"{MODEL}/service/{name}" for name in (*SERVICE_GATES, "latency")])
    assert again.passed(f"{MODEL}/service") == {*SERVICE_GATES, "latency"}
    assert shop.holdings().ledger == before
