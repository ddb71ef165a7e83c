"""What a proof consists of, and what it has to show."""

from dataclasses import dataclass
from typing import Any

from ml_platform_tests.project import Outcome, Project


@dataclass(frozen=True)
class Proof:
    """A break that only one kind of gate catches, and the nearest thing to it that is in order."""

    broken: Any
    clean: Any


def assert_stopped(
    outcome: Outcome, gate: str, asset: str, partition: str | None = None, *, allowed: tuple[str, ...] = ()
) -> None:
    """The run failed on exactly this gate of this asset, and nothing but ``allowed`` was materialized."""
    assert not outcome.success
    assert outcome.failed(asset, partition) == {gate}, _reasons(outcome)
    assert len(outcome.checks) > 1
    others = {key for key, event in outcome.checks.items() if not event.passed} - {(asset, partition, gate)}
    assert not others
    assert {name for name, _ in outcome.materialized} == {asset, *allowed}


def assert_refuses(project: Project, step: str, gate: str, partition: str = "") -> None:
    """The step, started alone, refuses by the gate's name and makes nothing."""
    alone = project.materialize(step, partition=partition)
    assert not alone.success
    assert "Refused" in alone.error and f"{gate} failed" in alone.error, alone.error
    assert not alone.materialized
    assert not project.materializations(step, partition or None)


def assert_leaves_out(project: Project, model: str, partition: str) -> None:
    """The model's split, made alone, has nothing of the refused partition and says so."""
    alone = project.materialize(f"{model}/split")
    assert alone.success, alone.error
    split = project.reference(f"{model}/split")
    assert split.refused == (partition,)
    assert partition not in {entry.partition for entry in (*split.train, *split.holdout)}


def assert_none_left(project: Project, model: str, gate: str) -> None:
    """Every partition is refused by the gate: the model's split, made alone, fails by its name and makes nothing."""
    alone = project.materialize(f"{model}/split")
    assert not alone.success
    assert "are too few for" in alone.error and f"{gate} failed" in alone.error, alone.error
    assert not alone.materialized
    assert not project.materializations(f"{model}/split")


def assert_passed(outcome: Outcome, asset: str, partition: str | None, count: int) -> None:
    """The run succeeded and all gates of the asset passed."""
    assert outcome.success, outcome.error or _reasons(outcome)
    assert len(outcome.passed(asset, partition)) == count
    assert not any(not event.passed for event in outcome.checks.values())


def _reasons(outcome: Outcome) -> dict[str, str | None]:
    return {check: event.description for (_, _, check), event in outcome.checks.items() if not event.passed}
