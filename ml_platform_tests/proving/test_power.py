"""Detection limits on the shop: each is really judged, a killed run goes on, and the time is kept to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.proving import columns, errors
from ml_platform.proving.arrivals import Arrivals
from ml_platform.proving.batches import BatchBreak
from ml_platform.proving.doses import Dosed, Slice
from ml_platform.proving.journal import Journal
from ml_platform.proving.limits import Limit
from ml_platform.proving.newest import Error
from ml_platform.proving.power import Power, journal_file
from ml_platform.proving.proof import Proof
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, MAY, MODEL, MONTHS, declared, everything, new_project

ROUNDS = 30


class Clock:
    """Each measurement takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Five months wait at the source, under all the gates on batches that the shop has."""
    data = everything().dataset(DATASET)
    gates = [gate.model_dump(exclude_none=True, exclude_defaults=True) for gate in data.gates]
    gates.append({"gate": "correction", "max": 0.1})
    catalogue = declared(dataset={"gates": gates, "quarantine": {"max": 0.02}})
    return new_project(tmp_path_factory.mktemp("power"), catalogue, arrived=MONTHS)


@pytest.fixture(scope="module")
def proof(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """Nothing went through the loop yet."""
    with project.active() as workspace:
        yield Proof(project.context(), workspace, tmp_path_factory.mktemp("scratch"), 5, ROUNDS)


def power(proof: Proof, file: Path, seconds: float = 1e6) -> Power:
    return Power(proof, Journal(file, seconds, Clock()))


def without(proof: Proof, *gates: str) -> Proof:
    """The same proof where these gates on batches are not declared."""
    dataset = proof.context.dataset
    fewer = dataset.model_copy(update={"gates": tuple(gate for gate in dataset.gates if gate.name not in gates)})
    context = type(proof.context)(proof.context.model, proof.context.feature_set, fewer)
    other = object.__new__(Proof)
    other.__dict__.update(proof.__dict__)
    other.clean = type(proof.clean)(proof.clean.partitions, context, proof.clean.frames)
    return other


@pytest.fixture(scope="module")
def small(proof: Proof, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Dosed], list[Limit]]:
    """Every error but those of columns in slices, and its limit."""
    made = power(proof, tmp_path_factory.mktemp("small") / "journal.jsonl")
    cases = list(errors.small_errors(made.batch()))
    return cases, made.on_batches(cases)


def found(limits: list[Limit], error: str, case: str = "") -> Limit:
    (one,) = [limit for limit in limits if (limit.error, limit.case) == (error, case)]
    return one


@pytest.mark.slow
def test_the_limit_is_noticed_and_the_dose_below_is_not(proof: Proof, small: tuple[list[Dosed], list[Limit]]) -> None:
    cases, limits = small
    by_key = {error.key: error for error in cases}
    assert len(by_key) == len(cases) and len(limits) > 50
    frame = proof.clean.frames[MAY]
    arrivals = {
        again: Arrivals(proof.context, proof.clean.frames, MAY, proof.workspace.now(), again) for again in (False, True)
    }

    def holding(error: Dosed, dose: float) -> tuple[str, ...]:
        one = error.at(dose)
        assert isinstance(one, BatchBreak)
        return tuple(verdict.gate for verdict in arrivals[error.again].holding(one.change(frame)))

    for limit in limits:
        error = by_key[limit.key]
        assert limit.measured and limit.asked == "batch"
        if limit.dose is None:
            assert not holding(error, limit.doses[-1]), limit
            continue
        assert limit.stage == "batch" and holding(error, limit.dose) == limit.gates != (), limit
        if limit.below:
            assert not holding(error, limit.below), limit
            assert limit.doses.index(limit.dose) == limit.doses.index(limit.below) + 1
        else:
            assert limit.dose == limit.doses[0]


@pytest.mark.slow
def test_the_gates_that_are_meant_for_it_set_the_limits(small: tuple[list[Dosed], list[Limit]]) -> None:
    _, limits = small
    expected: dict[tuple[str, str], tuple[float | None, str]] = {
        # Volume allows half of the usual rows, missing a fifth of them.
        (Error.LOST, ""): (0.75, "volume"),
        (Error.TWICE, ""): (0.001, "duplicates"),
        (Error.MIXED_IN, ""): (0.001, "window"),
        (Error.NO_OUTCOME, ""): (0.2, "missing"),
        (Error.UNKNOWN, ""): (7, "missing"),
        (Error.MISSING, "weight"): (0.2, "missing"),
        # Below the share that quarantine takes, wrong spellings are set aside.
        (Error.SPELLING, "product"): (0.05, "quarantine"),
        (Error.NEW_KEYS, "order_id"): (None, ""),
        # What replaces a published batch is held against it.
        (Error.CORRECTED, ""): (0.2, "correction"),
        # Nothing that is declared looks at these.
        (Error.TURNED, ""): (None, ""),
        (Error.TURNED, "channel web"): (None, ""),
        (Error.ALL_ZERO, ""): (None, ""),
        (Error.ELSEWHERE, "price"): (None, ""),
    }
    seen = {key: found(limits, *key) for key in expected}
    assert {key: (one.dose, one.gates[0] if one.gates else "") for key, one in seen.items()} == expected


def test_without_its_gate_an_error_is_not_noticed(proof: Proof, tmp_path: Path) -> None:
    made = power(without(proof, "missing"), tmp_path / "journal.jsonl")
    cases = [error for error in errors.small_errors(made.batch()) if error.name == Error.NO_OUTCOME]
    limits = made.on_batches(cases)
    assert len(limits) == len(cases) > 3
    assert [one.case for one in limits if one.noticed] == []


def test_verdicts_in_memory_are_those_of_the_audit(proof: Proof, tmp_path: Path) -> None:
    from ml_platform.pipeline import data
    from ml_platform.pipeline.workspace import Workspace
    from ml_platform.proving.scratch import delivering, scratch_settings

    made = power(proof, tmp_path / "journal.jsonl")
    frames, dataset = proof.clean.frames, proof.context.dataset
    wanted = {Error.LOST: 0.75, Error.NO_OUTCOME: 0.2, Error.SHIFTED: 1.0, Error.SPELLING: 0.01}
    cases = [next(error for error in errors.small_errors(made.batch()) if error.name == name) for name in wanted]
    broken = [error.at(wanted[error.name]).change(frames[MAY]) for error in cases]  # type: ignore[index, union-attr]
    empty = Workspace(scratch_settings(proof.workspace.settings, tmp_path / "audit"))
    scratch = delivering(empty.with_(now=proof.workspace.now), frames)
    for month in MONTHS[:-1]:
        data.audit(scratch, dataset, data.ingest(scratch, dataset, month, proof.run), proof.run)
    arrivals = Arrivals(proof.context, frames, MAY, proof.workspace.now())
    for frame in (frames[MAY], *broken):
        arrived = delivering(scratch, {**frames, MAY: frame})
        ref = data.ingest(arrived, dataset, MAY, proof.run)
        audited = data.audit(arrived, dataset, ref, proof.run)
        said = [(one.gate, one.status, one.observed, one.reason, one.support) for one in arrivals.verdicts(frame)]
        assert said == [(one.gate, one.status, one.observed, one.reason, one.support) for one in audited]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_comes_to_the_same(proof: Proof, tmp_path: Path) -> None:
    cases = list(errors.small_errors(power(proof, tmp_path / "no.jsonl").batch()))[:12]
    whole = power(proof, tmp_path / "whole.jsonl")
    expected = whole.on_batches(cases)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    assert whole.journal.made == len(lines) > 20
    # Killed while it wrote its twelfth line.
    (tmp_path / "killed.jsonl").write_bytes(b"".join(lines[:11]) + lines[11][:9])
    resumed = power(proof, tmp_path / "killed.jsonl")
    assert resumed.on_batches(cases) == expected
    assert resumed.journal.made == len(lines) - 11
    assert resumed.journal.spent == whole.journal.spent
    assert (tmp_path / "killed.jsonl").read_bytes().splitlines()[:11] == [line.strip() for line in lines[:11]]


@pytest.mark.slow
def test_the_time_is_kept_to_and_what_it_left_is_named(proof: Proof, tmp_path: Path) -> None:
    cases = list(errors.small_errors(power(proof, tmp_path / "no.jsonl").batch()))[:12]
    short = power(proof, tmp_path / "journal.jsonl", seconds=20)
    limits = short.on_batches(cases)
    done = [one for one in limits if one.measured]
    assert short.journal.made <= 20 and 1 <= len(done) < len(cases)
    assert [one.key for one in limits] == [error.key for error in cases]
    assert not any(one.noticed for one in limits if not one.measured)
    # With more time the same file goes on.
    longer = power(proof, tmp_path / "journal.jsonl")
    assert [one for one in longer.on_batches(cases) if one.measured][: len(done)] == done
    assert longer.journal.made > 0
    assert all(one.measured for one in longer.on_batches(cases))


def test_another_declaration_begins_anew(proof: Proof, project: Project) -> None:
    with project.active() as workspace:
        file = journal_file(proof, workspace)
        assert file == journal_file(proof, workspace)
        assert file.parent == project.folder / "local" / "power" and file.name.startswith(f"{MODEL}-")
        assert file != journal_file(without(proof, "missing"), workspace)
        assert file != journal_file(proof, workspace, seed=1)


def test_slices_are_the_largest_a_middle_and_the_smallest(proof: Proof, tmp_path: Path) -> None:
    batch = power(proof, tmp_path / "journal.jsonl").batch()
    slices = batch.slices()
    assert {one.column for one in slices} == {"channel", "depot", "product"}
    assert Slice("channel", "counter") in slices and Slice("channel", "phone") in slices
    cases = list(errors.errors_of_slices(batch))
    assert len({error.key for error in cases}) == len(cases)
    shifted = next(
        error for error in cases if error.case == "price where channel phone" and error.name == Error.SHIFTED
    )
    frame = batch.frame
    broken = shifted.at(1.0).change(frame)  # type: ignore[union-attr, arg-type]
    moved = broken["price"] != frame["price"]
    assert moved.equals((frame["channel"] == "phone").rename("price"))


def test_what_is_hit_grows_with_the_dose(proof: Proof, tmp_path: Path) -> None:
    hits = power(proof, tmp_path / "journal.jsonl").batch().hits
    phone = Slice("channel", "phone")
    shares = [hits.share(dose, "x", phone) for dose in (0.01, 0.2, 1.0)]
    inside = phone.rows(proof.clean.frames[MAY])
    assert all(
        bool((small & ~large).any()) is False for small, large in zip(shares, [*shares[1:], inside], strict=True)
    )
    assert shares[2].equals(inside) and 0 < shares[0].sum() < shares[1].sum()
    last = [hits.last(days).sum() for days in (1, 7, 28)]
    assert last == sorted(last) and last[-1] == proof.clean.frames[MAY].height


def test_a_share_exchanges_values_and_keeps_the_rest() -> None:
    frame = pl.DataFrame({"a": list(range(100)), "b": list(range(100))})
    hit = pl.Series([row < 50 for row in range(100)])
    moved = columns.elsewhere(frame, ["a"], hit, 7)
    assert sorted(moved["a"]) == sorted(frame["a"]) and moved["b"].equals(frame["b"])
    assert moved["a"][50:].equals(frame["a"][50:]) and (moved["a"] != frame["a"]).sum() > 40


@pytest.mark.slow
def test_what_no_gate_on_batches_notices_goes_through_the_loop(proof: Proof, tmp_path: Path) -> None:
    made = power(proof, tmp_path / "journal.jsonl")
    wanted: dict[str, Any] = {Error.TURNED: "", Error.ELSEWHERE: "quantity"}
    cases = [error for error in errors.small_errors(made.batch()) if wanted.get(error.name) == error.case]
    turned, elsewhere = made.in_loop(made.on_batches(cases), cases)
    assert (turned.stage, turned.measured) == ("evaluation", True) and not turned.before_publication
    assert turned.gates[0].startswith("performance") and turned.below < turned.doses[-1]
    assert (elsewhere.noticed, elsewhere.asked) == (False, "evaluation")
    training = {one.error: one for one in made.of_training()}
    assert training["labels are shuffled in training"].stage == "evaluation"
    leak = training["the target is a feature, in training and evaluation"]
    assert "leak_alarm_auc" in leak.gates or leak.gates[0].startswith("baseline")
    # Nothing that is declared here looks for it.
    assert training["training is on the holdout as well"].measured
    again = power(proof, tmp_path / "journal.jsonl")
    assert again.of_training() == list(training.values()) and again.journal.made == 0
