"""The proof on a small project: what catches what, what nothing catches, and that nothing else is touched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_platform.datasets.store import NotFound
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate
from ml_platform.pipeline.steps import Steps
from ml_platform.proving import breaks
from ml_platform.proving.batches import BatchBreak
from ml_platform.proving.findings import Finding, rates
from ml_platform.proving.proof import Proof
from ml_platform.proving.prove import broken_batch, broken_batches, broken_code, broken_refit
from ml_platform.proving.scratch import usual
from ml_platform.proving.serving import broken_services
from ml_platform.sources.partitions import Partitions
from ml_platform.training.code import plain
from ml_platform.training.split import SplitRule
from ml_platform_tests.conftest import ports
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, FEATURES, MAY, MODEL, MONTHS, declared, new_project

CONSTANT = {"gate": "constancy"}
LATENCY = Gate(gate="latency", rate=50, max=2000)
#: As many rounds as make a model that passes its gates; fewer than are declared.
ROUNDS = 30


def with_gates(*more: dict[str, Any]) -> Catalogue:
    """The shop with further gates on its features; how many weights are missing concerns them alone."""
    catalogue = declared()
    data, features = (
        [gate.model_dump(exclude_none=True, exclude_defaults=True) for gate in gates]
        for gates in (catalogue.dataset(DATASET).gates, catalogue.features[FEATURES].gates)
    )
    data = [{**gate, "columns": ["returned"]} if gate["gate"] == "missing" else gate for gate in data]
    return declared(dataset={"gates": data}, features={"gates": [*features, *more]})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Five months wait at the source; nothing was ever ingested."""
    folder = tmp_path_factory.mktemp("proof")
    environment = {"ML_PLATFORM_PORTS": ports(3460, 10)}
    return new_project(folder, with_gates(CONSTANT), arrived=MONTHS, environment=environment)


@pytest.fixture(scope="module")
def proof(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """Clean data went through the loop."""
    with project.active() as workspace:
        made = Proof(project.context(), workspace, tmp_path_factory.mktemp("scratch"), 5, ROUNDS)
        made.run_data()
        made.run_model()
        yield made


def found(findings: list[Finding], name: str) -> Finding:
    (one,) = [finding for finding in findings if finding.name == name]
    return one


def test_clean_data_raises_no_alarm_and_nothing_of_the_project_is_touched(proof: Proof, project: Project) -> None:
    assert [one for one in proof.clean.judged if not one.verdict.passed] == []
    assert proof.clean.partitions == list(MONTHS)
    assert plain(proof.context.model.parameters)["rounds"] == ROUNDS
    assert not (project.folder / "local").exists()
    assert proof.workspace.settings.local.is_relative_to(proof.folder)


def test_rates_are_per_gate_over_the_halves_of_the_partitions(proof: Proof) -> None:
    found = {rate.gate: rate for rate in rates(proof.clean.judged, proof.clean.partitions)}
    declared_gates = [*proof.context.dataset.gates, *proof.context.feature_set.gates]
    assert set(found) == {gate.name for gate in declared_gates}
    volume = found["volume"]
    assert (volume.first, volume.second, volume.second_alarms) == (3, 2, 0)
    # Every month has as many rows; the first batch has nothing to compare with.
    assert volume.first_range == volume.second_range == (1.0, 1.0)


@pytest.mark.slow
def test_broken_code_is_caught_by_the_gate_that_is_meant_for_it(proof: Proof) -> None:
    findings = list(broken_code(proof))
    assert {finding.name: finding.by for finding in findings} == {
        "an outcome is among the features": "leakage",
        "a feature is counted over the rows at hand": "parity",
        "a feature is constant": "constancy",
        "a feature is empty": "ranges",
        "a feature is divided by zero": "ranges",
        "history is younger than declared (looks into the future)": "leakage",
        "a partition is in training and holdout": "disjoint",
        "training reaches beyond the holdout": "time_order",
        "labels are shuffled in training": "performance_auc",
        "training is on noise": "performance_auc",
        "the target is a feature, in training and evaluation": "baseline_auc",
    }
    leak = found(findings, "the target is a feature, in training and evaluation")
    assert "leak_alarm_auc" in {verdict.gate for verdict in leak.caught}
    assert not any(finding.crashed or finding.refused for finding in findings)
    labels = found(findings, "labels are shuffled in training")
    assert labels.asked.keys() == {"split", "evaluation"}
    assert {verdict.stage for verdict in labels.caught} == {"evaluation"}


def test_without_the_gate_nothing_catches_the_break(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = ModelContext.of(with_gates(), MODEL).feature_set
    context = ModelContext(proof.context.model, lenient, proof.context.dataset)
    monkeypatch.setattr(proof.clean, "context", context)
    wanted = [
        one for one in breaks.feature_breaks(context, proof.clean.frames[MAY]) if one.name == "a feature is constant"
    ]
    monkeypatch.setattr(breaks, "feature_breaks", lambda *_: wanted[:1])
    monkeypatch.setattr(breaks, "split_breaks", lambda _: [])
    monkeypatch.setattr(breaks, "training_breaks", lambda _: [])
    (finding,) = broken_code(proof)
    assert finding.by == "" and not finding.caught and not finding.crashed
    assert finding.asked == {"features": 3 * len(MONTHS), "split": 2, "evaluation": 4}


def batches_of(proof: Proof, monkeypatch: pytest.MonkeyPatch, *breaks: BatchBreak) -> list[Finding]:
    monkeypatch.setattr("ml_platform.proving.prove.batch_breaks", lambda *_: breaks)
    return list(broken_batches(proof))


def test_a_batch_break_goes_on_until_a_gate_notices(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    from ml_platform.proving.batches import nulled, sent_twice

    findings = batches_of(
        proof,
        monkeypatch,
        BatchBreak("twice", "", sent_twice),
        BatchBreak("empty", "weight", lambda rows: nulled(rows, "weight")),
        BatchBreak("harmless", "", lambda rows: rows.with_columns(pl.col("price") * 1.01)),
        BatchBreak("crash", "", lambda rows: rows.no_such_method()),  # type: ignore[attr-defined]
    )
    twice, empty, harmless, crash = findings
    assert (twice.by, twice.asked) == ("duplicates", {"batch": 8})
    assert (empty.by, empty.caught[0].stage) == ("ranges", "features")
    assert harmless.by == "" and set(harmless.asked) == {"batch", "features", "split", "evaluation"}
    # What nobody refuses with a reason is not caught.
    assert crash.by == "" and "no_such_method" in crash.crashed


def test_what_arrives_broken_is_judged_beside_the_clean_model(project: Project, tmp_path: Path) -> None:
    """The champion was held against the clean twin, which the store of a broken arrival has never held."""
    import polars as pl

    learned = [*(gate.model_dump(exclude_none=True, exclude_defaults=True) for gate in project.context().model.gates)]
    gates = [*learned, {"gate": "expectation", "max": 0.5}]
    spec = project.context().model.model_copy(update={"gates": tuple(Gate.model_validate(one) for one in gates)})
    with project.active() as workspace:
        context = ModelContext(spec, project.context().feature_set, project.context().dataset)
        proof = Proof(context, workspace, tmp_path / "scratch", 5, ROUNDS)
        proof.run_data()
        proof.run_model()
        harmless = BatchBreak("harmless", "", lambda rows: rows.with_columns(pl.col("price") * 1.01))
        finding = broken_batch(proof, harmless)
        assert (finding.by, finding.crashed, finding.errored) == ("", "", "")
        turned = BatchBreak(
            "turned", MODEL, lambda rows: rows.with_columns((1 - pl.col(MODEL)).cast(rows[MODEL].dtype).alias(MODEL))
        )
        finding = broken_batch(proof, turned)
    assert [(one.gate, one.status) for one in finding.caught] == [("expectation", "failed")], finding.caught


def test_a_gate_that_could_not_judge_has_caught_nothing(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    def lost(*_: object) -> object:
        raise NotFound("features: 0123456789 is no branch, tag or commit")

    monkeypatch.setattr("ml_platform.training.split.check_disjoint", lost)
    harmless = BatchBreak("harmless", "", lambda rows: rows.with_columns(pl.col("price") * 1.01))
    (finding,) = batches_of(proof, monkeypatch, harmless)
    assert finding.by == finding.crashed == "" and "disjoint: " in finding.errored and "no branch" in finding.errored


def test_a_gate_that_clean_data_fails_catches_nothing(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_platform.proving.batches import sent_twice

    failing = [
        one.__class__(one.stage, one.partition, one.verdict.model_copy(update={"status": "failed"}))
        if one.verdict.gate == "duplicates" and one.partition == MAY
        else one
        for one in proof.clean.judged
    ]
    monkeypatch.setattr(proof.clean, "judged", failing)
    assert [one.by for one in batches_of(proof, monkeypatch, BatchBreak("twice", "", sent_twice))] != ["duplicates"]
    alarm = next(rate for rate in rates(failing, proof.clean.partitions) if rate.gate == "duplicates")
    assert (alarm.first_alarms, alarm.second_alarms, list(alarm.alarms)) == (0, 1, [MAY])


def test_a_break_leaves_the_workspace_that_it_starts_from_as_it_was(proof: Proof) -> None:
    sound = proof.workspace.steps
    for one in (*breaks.feature_breaks(proof.context, proof.clean.frames[MAY]), *breaks.split_breaks(proof.context)):
        broken, context = one.applied(proof.workspace, proof.context)
        assert (broken.steps, broken.function(context.feature_set)) != (sound, proof.context.function), one.name
        assert broken.store is proof.workspace.store and broken.ledger is proof.workspace.ledger
    assert proof.workspace.steps is sound and sound == Steps()


def test_the_target_leaks_as_a_number_whatever_it_is() -> None:
    from types import SimpleNamespace

    import polars as pl

    def leaked(target: list[Any], classes: tuple[str, ...]) -> list[float | None]:
        model = SimpleNamespace(target="y", classes=classes)
        context: Any = SimpleNamespace(names=("x",), model=model)
        *_, leak = breaks.training_breaks(context)
        frame = pl.DataFrame({"x": [0.5, 0.5, 0.5], "y": target})
        broken = leak.steps(Steps(training_frames=lambda *_: iter([frame]), evaluation_frames=lambda *_: iter([frame])))
        store: Any = None
        ((changed,), (evaluated,)) = broken.training_frames(store, ()), broken.evaluation_frames(store, ())
        assert changed.equals(evaluated, null_equal=True)
        assert changed.schema["x"] == pl.Float32
        return changed["x"].to_list()

    assert leaked([1, 0, None], ()) == [1, 0, None]
    assert leaked(["late", "early", None], ("early", "on time", "late")) == [2, 0, None]


def test_too_few_partitions_are_refused_in_one_line(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace, pytest.raises(PlatformError, match="needs 3; ask for more with --partitions"):
        Proof(project.context(), workspace, tmp_path, 2)


def test_hours_are_as_many_as_the_split_asks_for() -> None:
    """Twelve hours are fewer than a split of fourteen holds back: they are no proof, and nobody should have to know."""
    months = Partitions.model_validate({"every": "month", "start": "2024-01-01"})
    hours = Partitions.model_validate({"every": "hour", "start": "2024-01-01T00"})
    assert usual(SplitRule(holdout=1), months) == usual(SplitRule(holdout=2, gap=1), months) == 12
    assert usual(SplitRule(holdout=14), hours) == 30


@pytest.mark.slow
def test_broken_services_are_caught(proof: Proof) -> None:
    findings = list(broken_services(proof))
    assert [(finding.name, finding.by) for finding in findings] == [
        ("two columns change places at serving", "skew"),
        ("another model file under the recorded hash", "refusal"),
        ("another model is packaged than was evaluated", "skew"),
        ("the service accepts any input", "bad_input"),
        ("another version answers than was deployed", "health"),
    ]
    assert "sha256 differs" in findings[1].refused


@pytest.mark.slow
def test_a_slow_service_is_caught_where_a_gate_says_what_slow_is(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(breaks.load_breaks(proof.context.model.gates))
    timed = proof.context.model.model_copy(update={"gates": (*proof.context.model.gates, LATENCY)})
    monkeypatch.setattr(proof.clean, "context", ModelContext(timed, proof.context.feature_set, proof.context.dataset))
    monkeypatch.setattr(breaks, "package_breaks", lambda *_: [])
    slow, _ = broken_services(proof)
    assert (slow.name, slow.by) == ("each request waits for another system", "latency")
    assert [(verdict.gate, verdict.status) for verdict in slow.caught] == [("latency", "failed")]


@pytest.mark.slow
def test_broken_refits_are_caught_and_the_sound_one_is_not(tmp_path: Path) -> None:
    (model,) = declared().models.values()
    few = [gate.model_dump(exclude_none=True, exclude_defaults=True) for gate in model.gates]
    changes = {
        "split": {"holdout": 1, "refit": True},
        "gates": [*few, {"gate": "agreement", "metric": "correlation", "min": 0.6}],
    }
    project = new_project(tmp_path / "project", declared(models={MODEL: changes}), arrived=MONTHS)
    with project.active() as workspace:
        made = Proof(project.context(), workspace, tmp_path / "scratch", 5, ROUNDS)
        made.run_data()
        made.run_model()
        assert [one for one in made.clean.judged if not one.verdict.passed] == []
        assert [one.verdict.gate for one in made.clean.judged if one.stage == "refit"] == ["agreement_correlation"]
        assert made.version.model_ref.evaluated == made.model != made.version.model_ref
        findings = [broken_refit(made, one) for one in breaks.refit_breaks(made.context)]
    assert {finding.name: finding.by for finding in findings} == {
        "labels are shuffled in the refit": "agreement_correlation",
        "the refit is on noise": "agreement_correlation",
    }
    assert all(finding.asked == {"refit": 1} for finding in findings)
