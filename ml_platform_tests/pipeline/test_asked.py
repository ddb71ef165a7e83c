"""Gates of one's own are given what the platform's own are: rows of the holdout, and the address of the service."""

from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate, Measurement, kind
from ml_platform.pipeline import evaluation, release
from ml_platform.serving.client import Client
from ml_platform_tests.conftest import ports
from ml_platform_tests.shop_project import GATES, MODEL, copy_of, declared, registered


@kind("certain", "evaluation", "Share of rows predicted with certainty", needs=("max",), asks=("rows",))
def certain(evaluation: Any, gate: Gate, *, rows: Any) -> Measurement:
    """Also checks that the rows are those of the evaluation."""
    assert rows.frame.height == evaluation.rows and set(rows.features) <= {*rows.frame.columns}
    share = float(((rows.frame["prediction"] - 0.5).abs() > 0.49).mean())
    return Measurement(share, f"{share:.1%} of {rows.frame.height} rows", support=rows.frame.height)


@kind("knows_itself", "service", "Whether the service says another model's name", limit=0, asks=("running",))
def knows_itself(_: Any, gate: Gate, *, running: Any) -> Measurement:
    """Asks the started process, and lets it predict a row."""
    with Client(running.url, running.key) as client:
        name, answer = client.info()["model"], client.predict([dict(running.rows[0])])
    return Measurement(int(name != MODEL), f"{name} says {answer['predictions']}")


OWN = [{"gate": f"{__name__}:certain", "max": 0.9}, {"gate": f"{__name__}:knows_itself"}]


def test_a_gate_on_the_model_sees_its_holdout(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    catalogue = declared(models={MODEL: {"gates": [*GATES, *OWN]}})
    project = copy_of(registered(tmp_path_factory.getbasetemp()), tmp_path / "project", catalogue)
    context = project.context()
    with project.active() as workspace:
        reference = workspace.references.load(f"{MODEL}/model")
        verdicts = evaluation.judge_model(workspace, context, reference, Run.new())
    found = {verdict.gate: verdict for verdict in verdicts}
    assert found["certain"].status == "passed", found["certain"].reason
    assert found["certain"].support and found["certain"].observed is not None


@pytest.mark.slow
def test_a_gate_on_the_service_has_its_address(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    catalogue = declared(models={MODEL: {"gates": [*GATES, *OWN]}})
    folder = registered(tmp_path_factory.getbasetemp())
    project = copy_of(folder, tmp_path / "project", catalogue, ML_PLATFORM_PORTS=ports(3560, 10))
    context, run = project.context(), Run.new()
    with project.active() as workspace:
        evaluation.judge_model(workspace, context, workspace.references.load(f"{MODEL}/model"), run)
        version = workspace.references.load(f"{MODEL}/registered_model")
        service = release.package(workspace, context, version, run)
        found = {verdict.gate: verdict for verdict in release.inspect_service(workspace, context, service, run)}
    assert found["knows_itself"].status == "passed", found["knows_itself"].reason
    assert all(verdict.passed for verdict in found.values())
