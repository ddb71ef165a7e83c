"""A candidate whose answers are right as a whole and wrong for each row: copies of requests show it, nothing else."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.cli.rollout import copies_said
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.gates.verdict import Verdict
from ml_platform.pipeline import rollout, shadow_verdicts, snapshot
from ml_platform.pipeline.release import backend_in
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout import changes, rules
from ml_platform.rollout.counts import Answers, Counted, Traffic
from ml_platform.rollout.pairs import log_folder
from ml_platform.rollout.record import Backend, RolloutRecord, Rules
from ml_platform.rollout.sent_copies import Count, Sent
from ml_platform.rollout.shadow import compare, unsent
from ml_platform.serving import bundle
from ml_platform.serving.prediction_log import Answerer, Asked, PredictionLog
from ml_platform_tests.pipeline.served import answering, packaged, rows_of
from ml_platform_tests.project import Project
from ml_platform_tests.sabotage.proof import Proof
from ml_platform_tests.shop_project import GATES, MAY, MODEL, copy_of, declared, registered

REQUESTS = 400
SOUND = rules.Seen(ready=True, routed=True, candidate=Counted(Traffic(REQUESTS)), seconds=9)
COPIES = declared(
    models={
        MODEL: {
            "gates": [
                *GATES,
                {"gate": "shadow", "metric": "decisions", "max": 0.05},
                {"gate": "shadow", "metric": "outputs", "max": 0.02, "by": ["order_id"]},
            ],
            "rollout": {"steps": [{"shadow": 100, "requests": REQUESTS}, {"weight": 10, "requests": 100}]},
        }
    }
)

PROOFS = {
    # Each request gets the answer that was meant for the one before.
    "shadow": Proof(lambda given: np.roll(given, 1), lambda given: given + np.float32(0.001)),
}


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Project:
    """Version 1 answers; gates on copies are declared."""
    base = tmp_path_factory.getbasetemp()
    return copy_of(answering(base, registered(base)), tmp_path / "project", COPIES)


def copied(workspace: Workspace, stable: Backend) -> Backend:
    """Another package of the version that answers."""
    place = workspace.settings.local / stable.path
    shutil.copytree(place, other := place.with_name(f"{MODEL}-other"))
    write_atomic(other / bundle.SOURCE / "other.txt", "another package")
    return backend_in(other, stable.version, stable.tag, bundle.content_sha256(other / bundle.SOURCE))


def begun(workspace: Workspace, project: Project, candidate: Backend) -> None:
    """The candidate gets copies of all requests, as ``deploy`` and the supervisor let it."""
    context = project.context()
    plan, gates = context.model.rollout, shadow_verdicts.shadow_gates(workspace, context)
    start = partial(changes.started, backend=candidate, by="ann", why="test", strategy=plan.steps, gates=gates)
    for change in (start, partial(changes.stepped, why="every process answers")):
        workspace.rollouts.update(MODEL, change)


def logged(
    workspace: Workspace, package: str, role: str, rows: pl.DataFrame, said: np.ndarray, first: int = 0, each: int = 1
) -> None:
    log = PredictionLog(log_folder(workspace.settings), Answerer(MODEL, 1, package), flush_seconds=60)
    for number, row in enumerate(rows.iter_slices(each)):
        log.add(Asked(f"r{number + first}", role=role), row, said[number * each : (number + 1) * each])
    log.close()


def seen(project: Project, *sides: np.ndarray) -> list[Counted]:
    """What processes and router count of the answers of each side."""
    buckets = [-np.inf, *project.context().model.kind().buckets, np.inf]
    histograms = [np.histogram(said, buckets)[0].tolist() for said in sides]
    return [Counted(Traffic(REQUESTS, seconds=1.0), Answers(REQUESTS, 0, tuple(counts))) for counts in histograms]


def decided(project: Project, candidate_says: Any) -> tuple[RolloutRecord, dict[str, Verdict]]:
    """The record after the supervisor has looked, and the verdicts in the ledger on the candidate."""
    rows = rows_of(project, MAY).select(project.context().function.inputs).head(REQUESTS)
    given = packaged(project).predict(rows)
    with project.active() as workspace:
        stable = workspace.rollouts.load(MODEL).stable
        assert stable is not None
        candidate = copied(workspace, stable)
        rollout.begin(workspace, MODEL, candidate, Run.new(), by="ann", why="test")
        begun(workspace, project, candidate)
        logged(workspace, stable.sha256, "stable", rows, given)
        logged(workspace, candidate.sha256, "shadow", rows, candidate_says(given))
        record = workspace.rollouts.load(MODEL)
        base, copies = seen(project, given, candidate_says(given))
        # No rule of the rollout sees it.
        assert rules.breach(Rules(), base, copies) == ""
        look = rules.Seen(ready=True, routed=True, base=base, candidate=copies, seconds=9)
        assert rules.decide(record, look).do == "wait"
        decision = rules.decide(record, replace(look, copies=compare(workspace.settings, record)))
        lines = copies_said(workspace, record)
        assert len(lines) == 2 and all(line.startswith("gate shadow_") for line in lines)
        do = {"step": changes.stepped, "roll_back": changes.rolled_back}[decision.do]
        after = workspace.rollouts.update(MODEL, partial(do, why=decision.why, judged=decision.judged))
        written = rollout.project(workspace, MODEL, Run.new())
        assert written == (2 if decision.do == "step" else 3)
        assert rollout.project(workspace, MODEL, Run.new()) == 0
        verdicts = workspace.ledger.verdicts(candidate.sha256)
        gates = {gate.name: gate for gate in shadow_verdicts.model_gates(workspace, project.context(), "shadow")}
        # Under the declaration and in the context of now, as verdicts of any stage.
        assert all(gates[name].judged(verdict) for name, verdict in verdicts.items())
        assert {verdict.compared["live"] for verdict in verdicts.values()} == {stable.sha256}
        assert {verdict.stage for verdict in verdicts.values()} == {"shadow"}
    return after, verdicts


def test_answers_that_are_exchanged_go_no_further_than_copies(project: Project) -> None:
    record, verdicts = decided(project, PROOFS["shadow"].broken)
    assert (record.candidate, record.weight, record.stable and record.stable.version) == (None, 0, 1)
    assert record.change is not None and record.change.action == "roll_back"
    assert record.change.why.startswith("shadow_decisions: ") and "of the decisions differ" in record.change.why
    assert {name: verdict.status for name, verdict in verdicts.items()} == {
        "shadow_decisions": "failed",
        "shadow_outputs": "failed",
    }
    assert verdicts["shadow_outputs"].support == REQUESTS


def test_the_clean_twin_gets_its_first_percent(project: Project) -> None:
    record, verdicts = decided(project, PROOFS["shadow"].clean)
    assert (record.weight, record.step) == (10, 2)
    assert {verdict.status for verdict in verdicts.values()} == {"passed"}
    outputs = verdicts["shadow_outputs"]
    assert outputs.details["mean"] == pytest.approx(0.001, abs=1e-4) and outputs.details["revision"] == record.revision


@pytest.mark.parametrize(
    ("each", "sent", "do"),
    [
        # Thirty were copied, with exchanged answers; for the others somebody wrote what both are to have said.
        (1, Count(1, 30, REQUESTS), "wait"),
        (1, Count(1, 30, 30), "wait"),
        # Rows of a request that was copied, which no process answered.
        (4, Count(1, 123, 30), "wait"),
        (4, None, "wait"),
        # The clean twins.
        (1, Count(1, REQUESTS, REQUESTS), "step"),
        (4, Count(1, 123, REQUESTS), "step"),
    ],
)
def test_copies_that_nobody_sent_are_no_pass(project: Project, each: int, sent: Count | None, do: str) -> None:
    rows = rows_of(project, MAY).select(project.context().function.inputs).head(REQUESTS)
    given = packaged(project).predict(rows)
    with project.active() as workspace:
        stable = workspace.rollouts.load(MODEL).stable
        assert stable is not None
        begun(workspace, project, candidate := copied(workspace, stable))
        clean = do == "step"
        for package, role in ((stable.sha256, "stable"), (candidate.sha256, "shadow")):
            really = given[:30] if role == "stable" or clean else PROOFS["shadow"].broken(given[:30])
            logged(workspace, package, role, rows[:30], really)
            logged(workspace, package, role, rows[30:], given[30:], 30, each)
        record = workspace.rollouts.load(MODEL)
        judged = compare(
            workspace.settings, record, Sent(datetime(2024, 1, 1, tzinfo=UTC), Count(1, 0, 0), lambda: sent)
        )
        decision = rules.decide(record, replace(SOUND, copies=judged))
        assert decision.do == do, decision.why
        assert bool(unsent(judged)) == (do == "wait" and sent is not None)
        assert do == "step" or {one.status for one in judged} == {"open"}


def test_nothing_is_said_of_a_package_whose_rollout_nobody_began(project: Project) -> None:
    """The record is a file that anybody can edit."""
    with project.active() as workspace:
        stable = workspace.rollouts.load(MODEL).stable
        assert stable is not None
        forged = copied(workspace, stable)
        begun(workspace, project, forged)
        record = workspace.rollouts.load(MODEL)
        passed = [
            one.model_copy(update={"status": "passed", "upper": 0.0}) for one in compare(workspace.settings, record)
        ]
        workspace.rollouts.update(MODEL, partial(changes.stepped, why="edited", judged=passed))
        assert rollout.project(workspace, MODEL, Run.new()) == 0
        assert workspace.ledger.verdicts(forged.sha256) == {}


def test_what_a_package_says_of_itself_is_read_from_the_package_that_answers(project: Project) -> None:
    """The folder of packages can be edited: a threshold by which all decisions agree, a history that is not newer."""
    with project.active() as workspace:
        stable = workspace.rollouts.load(MODEL).stable
        assert stable is not None
        begun(workspace, project, copied(workspace, stable))
        record = workspace.rollouts.load(MODEL)
        compare(workspace.settings, record)
        file = workspace.settings.local / stable.path / bundle.SOURCE / bundle.FOLDER / bundle.SERVICE
        said = json.loads(file.read_bytes())
        write_atomic(file, json.dumps({**said, "decision_threshold": 0.999}))
        for act in (
            lambda: compare(workspace.settings, record),
            lambda: snapshot.refresh(workspace, project.context(), Run.new(), wait=False),
        ):
            with pytest.raises(PlatformError, match=f"^[^\n]*does not hold the package {stable.sha256[:12]}[^\n]*$"):
                act()
