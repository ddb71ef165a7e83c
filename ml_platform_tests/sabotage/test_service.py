"""Broken services: really packaged, started and asked."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.defs.flights.features import FlightFeatures
from ml_platform.features.contract import feature_names
from ml_platform.foundation.errors import MissingReference, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import release
from ml_platform.pipeline.judging import model_gates
from ml_platform.rollout import control
from ml_platform.rollout.record import RolloutRecord
from ml_platform.serving import bundle, packaging, process
from ml_platform_tests.conftest import ports
from ml_platform_tests.project import MODEL, Outcome, Project, copy_of, declared
from ml_platform_tests.sabotage.packages import SERVICE_GATES, Package, entered
from ml_platform_tests.sabotage.proof import Proof
from ml_platform_tests.sabotage.steps import exchange

pytestmark = pytest.mark.slow

#: A second model, whose package loses its model file.
FRAGILE = "fragile_delay"
#: Where the features stand that change places.
SWAPPED = [feature_names(FlightFeatures()).index(name) for name in ("departure_minute", "arrival_minute")]


def without_model(package: Package) -> Package:
    """A disk that loses the model file of a finished package."""

    def lossy(*arguments: object, **options: object) -> packaging.Packaged:
        packaged = package(*arguments, **options)
        (packaged.path / bundle.SOURCE / bundle.FOLDER / "model.ubj").unlink()
        return packaged

    return lossy


def deploy(project: Project, name: str) -> Outcome:
    """Package, check, deploy and check in one run."""
    return project.materialize(f"{name}/service", f"{name}/deployment", checks=None)


def as_another(project: Project, url: str, name: str, folder: Path) -> process.Started:
    """Everything of the deployed model is stopped, and the package of another one started where it was."""
    packaged = project.materialize(f"{name}/service")
    assert packaged.success, packaged.error
    with project.active() as workspace:
        control.stop_all(workspace.settings)
        bento = workspace.settings.local / project.reference(f"{name}/service").path
    return process.start(bento, int(url.rpartition(":")[2]), folder / "home", {}, folder / "log", "127.0.0.1")


#: How packaging is broken, or what happens behind its back; and the way it should be.
PROOFS = {
    "servability": Proof(without_model, deploy),
    # Two columns have changed places since the model was trained.
    "skew": Proof(entered("swapped", columns=SWAPPED), deploy),
    # Somebody wanted to be tolerant.
    "bad_input": Proof(entered("tolerant"), deploy),
    "health": Proof(as_another, deploy),
}


@pytest.fixture(scope="module")
def shop(five_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with two registered models, and nothing packaged yet."""
    catalogue = declared(models={MODEL: {}, FRAGILE: {"parameters": {"rounds": 40, "max_depth": 4, "seed": 7}}})
    project = copy_of(
        five_months, tmp_path_factory.mktemp("services") / "project", catalogue, ML_PLATFORM_PORTS=ports(3420, 20)
    )
    for name in (MODEL, FRAGILE):
        steps = [f"{name}/{step}" for step in ("split", "model", "evaluation", "registered_model")]
        outcome = project.materialize(*steps, checks=None)
        assert outcome.success, outcome.error
    yield project
    with project.active() as workspace:
        control.stop_all(workspace.settings)


@pytest.fixture(scope="module")
def deployed(shop: Project) -> Outcome:
    """The run that deployed the first model as it should be."""
    return deploy(shop, MODEL)


def broken(project: Project, kind: str, name: str) -> Outcome:
    """The same with packaging broken."""
    with pytest.MonkeyPatch.context() as patch:
        exchange(patch, "package", PROOFS[kind].broken)
        return deploy(project, name)


def record_of(project: Project, name: str) -> RolloutRecord | None:
    """What the rollout record says now."""
    with project.active() as workspace:
        try:
            return workspace.rollouts.load(name)
        except MissingReference:
            return None


def assert_not_deployed(project: Project, name: str, kind: str, outcome: Outcome) -> None:
    """Nothing behind the package happened, nor does it when started alone."""
    before = record_of(project, name)
    assert not outcome.success
    assert outcome.assets() == {f"{name}/service"}
    alone = project.materialize(f"{name}/deployment")
    assert not alone.success and not alone.materialized
    # A package that is not whole is no package, whatever its gates said.
    why = "there is no package" if kind == "servability" else f"{kind} failed"
    assert "Refused" in alone.error and why in alone.error
    assert record_of(project, name) == before
    assert (
        before is None or before.stable is None or before.stable.sha256 != project.reference(f"{name}/service").sha256
    )


@pytest.mark.parametrize("kind", ["skew", "bad_input"])
def test_a_broken_package_is_refused_by_its_gate_alone(kind: str, shop: Project) -> None:
    outcome = broken(shop, kind, MODEL)
    assert outcome.failed(f"{MODEL}/service") == {kind}
    assert outcome.passed(f"{MODEL}/service") == set(SERVICE_GATES) - {kind}
    assert_not_deployed(shop, MODEL, kind, outcome)


def test_a_package_without_its_model_is_not_servable(shop: Project) -> None:
    outcome = broken(shop, "servability", FRAGILE)
    # What does not start cannot be compared or tried either.
    assert outcome.failed(f"{FRAGILE}/service") == set(SERVICE_GATES)
    reasons = {name: event.description or "" for (_, _, name), event in outcome.checks.items()}
    assert "model.ubj" in reasons["servability"]
    assert "no row was compared" in reasons["skew"] and "no case was tried" in reasons["bad_input"]
    assert_not_deployed(shop, FRAGILE, "servability", outcome)


def test_the_clean_package_is_deployed_and_answers(shop: Project, deployed: Outcome) -> None:
    assert deployed.success, deployed.error
    assert deployed.passed(f"{MODEL}/service") == set(SERVICE_GATES)
    assert deployed.passed(f"{MODEL}/deployment") == {"health"}
    registered = shop.reference(f"{MODEL}/registered_model")
    with shop.active() as workspace:
        champion = workspace.registry.champion(MODEL)
    assert champion is not None and champion.version == registered.version
    record = record_of(shop, MODEL)
    assert record is not None and record.stable is not None and record.candidate is None


def test_health_notices_that_another_package_answers(shop: Project, deployed: Outcome, tmp_path: Path) -> None:
    reference = shop.reference(f"{MODEL}/deployment")
    started = PROOFS["health"].broken(shop, reference.url, FRAGILE, tmp_path)
    try:
        process.wait_ready(started, 90)
        outcome = shop.materialize(checks=[f"{MODEL}/deployment/health"])
        assert outcome.failed(f"{MODEL}/deployment") == {"health"}
        reason = outcome.checks[f"{MODEL}/deployment", None, "health"].description or ""
        assert f"wanted {reference.version} {reference.sha256[:12]}" in reason
    finally:
        process.stop(started.pid, started.start_time)
    with shop.active() as workspace, pytest.raises(Refused, match="health failed"):
        gates = model_gates(workspace, shop.context(MODEL), "deployment")
        workspace.ledger.require(reference.sha256, gates, subject_name=f"{MODEL}/deployment")
    nobody = shop.materialize(checks=[f"{MODEL}/deployment/health"])
    assert nobody.failed(f"{MODEL}/deployment") == {"health"}
    # An address that somebody wrote into the reference is asked nothing, and sent no key.
    with socket.create_server(("127.0.0.1", 0)) as listener, shop.active() as workspace:
        listener.settimeout(0.5)
        elsewhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
        edited = reference.model_copy(update={"url": elsewhere})
        verdicts = release.inspect_deployment(workspace, shop.context(MODEL), edited, Run.new())
        assert [verdict.status for verdict in verdicts] == ["failed"] and elsewhere not in verdicts[0].reason
        with pytest.raises(TimeoutError):
            listener.accept()
