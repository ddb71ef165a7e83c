"""Windows of the past on a small project: the models of the loop, each beside the one before, and their alarms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.locks import Locked, locked
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline.steps import Steps
from ml_platform.proving.findings import rates
from ml_platform.proving.proof import Proof
from ml_platform.proving.windows import Window, run_windows
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, FEBRUARY, JANUARY, MARCH, MAY, MODEL, MONTHS, gates, new_project
from ml_platform_tests.shop_project import declared as shop

#: Two that a model of few rounds keeps, and one that no honest model can.
GATES = gates(performance={"min": 0.6}, baseline={"min": -1}, leak_alarm={"max": 0.5})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Five months wait at the source."""
    catalogue = shop(models={MODEL: {"gates": GATES}})
    return new_project(tmp_path_factory.mktemp("windows"), catalogue, arrived=MONTHS)


def proof_of(project: Project, workspace: Any, folder: Path) -> Proof:
    """A proof of the model with few rounds."""
    return Proof(project.context(), workspace, folder, 5, 15)


@pytest.fixture(scope="module")
def ran(project: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Proof, list[Window], list[str], Path]:
    """The windows, what was told of them, and where their trainings are kept."""
    kept, told = tmp_path_factory.mktemp("kept"), list[str]()
    with project.active() as workspace:
        proof = proof_of(project, workspace, tmp_path_factory.mktemp("scratch"))
        return proof, run_windows(proof, kept, told.append), told, kept


def on_models(proof: Proof) -> dict[tuple[str, str], Verdict]:
    """Gate and window to the verdict."""
    return {
        (one.verdict.gate, one.partition): one.verdict
        for one in proof.clean.judged
        if one.stage in ("split", "evaluation")
    }


@pytest.mark.slow
def test_each_window_is_all_up_to_a_partition_divided_as_declared(
    ran: tuple[Proof, list[Window], list[str], Path], project: Project
) -> None:
    _, windows, told, _ = ran
    assert [(window.train, window.holdout) for window in windows] == [
        ((JANUARY, FEBRUARY), (MARCH,)),
        ((JANUARY, FEBRUARY, MARCH), (APRIL,)),
        ((JANUARY, FEBRUARY, MARCH, APRIL), (MAY,)),
    ]
    assert len({window.sha256 for window in windows}) == 3
    assert told == [f"{JANUARY} to {month}: leak_alarm_auc" for month in (MARCH, APRIL, MAY)]
    assert not (project.folder / "local").exists()


@pytest.mark.slow
def test_every_gate_judges_every_window_beside_the_model_before(
    ran: tuple[Proof, list[Window], list[str], Path],
) -> None:
    proof, windows, _, _ = ran
    verdicts = on_models(proof)
    names = {gate.name for stage in ("split", "evaluation") for gate in proof.context.model.gates_of(stage)}
    assert set(verdicts) == {(name, window.last) for name in names for window in windows}
    champions = [verdicts["champion_auc", window.last].details.get("champion") for window in windows]
    assert champions == [None, windows[0].sha256, windows[1].sha256]
    assert verdicts["champion_auc", MARCH].observed is None and verdicts["champion_auc", MAY].observed is not None


@pytest.mark.slow
def test_alarms_of_windows_are_counted_with_those_of_batches(ran: tuple[Proof, list[Window], list[str], Path]) -> None:
    proof, _, _, _ = ran
    found = {rate.gate: rate for rate in rates(proof.clean.judged, proof.clean.partitions)}
    assert {"volume", "ranges", "disjoint", "performance_auc"} <= set(found)
    leak = found["leak_alarm_auc"]
    assert (leak.first, leak.first_alarms, leak.second, leak.second_alarms) == (1, 1, 2, 2)
    assert set(leak.alarms) == {MARCH, APRIL, MAY} and leak.blocking
    assert found["performance_auc"].alarms == {}


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_sees_the_same(
    ran: tuple[Proof, list[Window], list[str], Path], project: Project, tmp_path: Path
) -> None:
    first, windows, _, kept = ran
    with project.active() as workspace:
        again = proof_of(project, workspace, tmp_path)
        sound = again.workspace.steps.trainer
        again.workspace = again.workspace.with_(steps=replace(Steps(), trainer=lambda name: _Never(sound(name))))
        assert run_windows(again, kept) == windows
    observed = [{key: one.observed for key, one in on_models(proof).items()} for proof in (first, again)]
    assert observed[0] == observed[1]


class _Never:
    """A trainer that must not train."""

    def __init__(self, sound: Any) -> None:
        self.sound = sound

    def train(self, *_: Any) -> None:
        raise AssertionError("trained again")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)


def test_two_at_once_do_not_share_a_folder(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        proof = proof_of(project, workspace, tmp_path / "scratch")
        with locked(tmp_path / "kept" / "windows.lock"), pytest.raises(Locked, match=r"holds windows\.lock"):
            run_windows(proof, tmp_path / "kept")
