"""Thresholds from values that were seen: what they let pass, and how they are written."""

from datetime import date

import pytest
import yaml

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.gates.stages import Stage
from ml_platform.proving.scratch import Judged
from ml_platform.proving.suggest import limit, propose, suggestions
from ml_platform_tests.shop_project import APRIL, FEBRUARY, JANUARY, MARCH, MAY, MODEL, MONTHS, declared, gates

AUC = Gate(gate="performance", metric="auc", min=0.99)


@pytest.mark.parametrize(
    ("seen", "side", "expected"),
    [
        ((0.19, 0.28, 0.46), "max", 0.73),
        ((0.7107, 0.7429, 0.7465), "min", 0.676),
        # A share has a limit above nothing, a gain may be a loss.
        ((0.1, 0.2, 0.4), "min", 0.025),
        ((-0.001, 0.013, 0.01), "min", -0.015),
        ((0.0, 0.0, 0.0), "max", 0.0),
        ((900.0, 1000.0, 1100.0), "max", 1300.0),
    ],
)
def test_a_limit_lies_as_far_beyond_the_worst_as_the_values_lie_apart(
    seen: tuple[float, ...], side: str, expected: float
) -> None:
    assert limit(seen, side) == expected  # type: ignore[arg-type]


def test_a_limit_is_rounded_away_from_what_was_seen() -> None:
    for seen in ((0.123456, 0.2, 0.3456789), (-3.21, 1.234, 7.77), (1234.5, 2345.6, 3456.7)):
        assert limit(seen, "max") >= max(seen) + (max(seen) - min(seen))
        assert limit(seen, "min") < min(seen)
        assert len(f"{limit(seen, 'max') - max(seen):.10g}") < 12


def test_each_declared_side_gets_a_number_and_nothing_else_changes() -> None:
    volume, why = propose(Gate(gate="volume", min=0.5, max=9, severity="warn"), (0.9, 1.0, 1.1))
    assert (volume.min, volume.max, volume.severity, why) == (0.73, 1.3, "warn", "")
    auc, _ = propose(AUC, (0.70, 0.72, 0.74))
    assert (auc.min, auc.max, auc.metric) == (0.662, None, "auc")


@pytest.mark.parametrize(
    ("gate", "seen", "reason"),
    [
        (Gate(gate="schema"), (0, 0, 0), ""),
        (AUC, (0.7, 0.71), "2 of 3 values are too few"),
        (Gate(gate="model_latency", max=2), (0.2, 0.3, 0.4), "not measured in windows"),
        (Gate(gate="skew", max=0), (), "not measured in windows"),
        (
            Gate(gate="champion", metric="auc", mode="superior", min=0.01),
            (0.1, 0.2, 0.3),
            "a gain that is asked for, not one that was seen",
        ),
    ],
)
def test_what_the_past_cannot_say_stays_as_declared(gate: Gate, seen: tuple[float, ...], reason: str) -> None:
    assert propose(gate, seen) == (gate, reason)


def test_a_candidate_never_has_to_be_better_than_the_champion() -> None:
    gate = Gate(gate="champion", metric="auc", mode="non_inferior", min=-0.5)
    assert propose(gate, (0.010, 0.011, 0.012))[0].min == 0.0
    assert propose(gate, (-0.010, 0.011, 0.012))[0].min == pytest.approx(-0.032)


def test_a_loss_against_a_trivial_model_is_not_proposed() -> None:
    gate = Gate(gate="baseline", metric="brier", min=0.0)
    assert propose(gate, (-0.09, 0.01, 0.03)) == (
        gate, "kept: min -0.21 lets a model pass that is worse than a trivial one"
    )  # fmt: skip
    assert propose(gate, (0.02, 0.03, 0.05))[0].min == 0.008
    assert propose(gate.model_copy(update={"min": -1.0}), (-0.09, 0.01, 0.03))[0].min == -0.21


def judged(gate: str, stage: Stage, values: dict[str, float | None]) -> list[Judged]:
    """Verdicts on clean content by partition."""
    return [
        Judged(
            stage,
            name,
            Verdict(
                gate=gate, stage=stage, subject="a", subject_name="a", status="passed", blocking=True, observed=value,
                threshold="", declaration="", reason="",
            ),
        )
        for name, value in values.items()
    ]  # fmt: skip


def context() -> ModelContext:
    """The shop's model with an impossible threshold."""
    return ModelContext.of(declared(models={MODEL: {"gates": gates(performance={"min": 0.99})}}), MODEL)


def test_only_what_had_ended_by_the_date_proposes_and_the_rest_is_held_against_it() -> None:
    seen = [
        *judged("performance_auc", "evaluation", dict(zip(MONTHS, (0.70, 0.72, 0.74, 0.66, 0.65), strict=True))),
        *judged("volume", "batch", {JANUARY: None, FEBRUARY: 0.9, MARCH: 1.0}),
    ]
    found = {one.declared.name: one for one in suggestions(context(), seen, date.fromisoformat(APRIL))}
    auc = found["performance_auc"]
    assert list(auc.before) == [JANUARY, FEBRUARY, MARCH] and list(auc.after) == [APRIL, MAY]
    assert auc.proposed.min == 0.662
    assert auc.alarms(auc.proposed) == [APRIL, MAY]
    assert auc.alarms(auc.declared) == [APRIL, MAY] and auc.alarms(auc.proposed.model_copy(update={"min": 0.655})) == [
        MAY
    ]
    assert found["volume"].before == {FEBRUARY: 0.9, MARCH: 1.0}
    owners = [one.owner for one in suggestions(context(), seen, date.fromisoformat(APRIL))]
    assert list(dict.fromkeys(owners)) == ["purchases", "purchases/features", MODEL]


def test_what_would_let_a_model_pass_that_knows_nothing_is_not_proposed() -> None:
    seen = judged("performance_auc", "evaluation", dict(zip(MONTHS, (0.52, 0.72, 0.74, 0.66, 0.65), strict=True)))
    found = {one.declared.name: one for one in suggestions(context(), seen, date.fromisoformat("2024-06-01"))}
    auc = found["performance_auc"]
    assert auc.proposed == auc.declared
    assert auc.line() == (
        "- {gate: performance, metric: auc, min: 0.99}   # 0.52 to 0.74 seen; kept: min 0.36 lets a model pass that "
        "knows nothing (its auc is 0.5)"
    )


def test_a_line_is_yaml_that_declares_the_gate_again() -> None:
    seen = judged("performance_auc", "evaluation", dict(zip(MONTHS, (0.70, 0.72, 0.74, 0.64, 0.73), strict=True)))
    for one in suggestions(context(), seen, date.fromisoformat(APRIL)):
        (loaded,) = yaml.safe_load(one.line())
        assert Gate.model_validate(loaded) == one.proposed
        if one.declared.name == "performance_auc":
            assert one.line() == (
                "- {gate: performance, metric: auc, min: 0.662}   # 0.7 to 0.74 before; 0.64 to 0.73 after, "
                f"alarm on {APRIL}"
            )


def test_too_little_past_is_refused_in_one_line() -> None:
    seen = judged("performance_auc", "evaluation", {JANUARY: 0.7, FEBRUARY: 0.72})
    with pytest.raises(PlatformError, match="fewer than 3 partitions of purchases had ended by 2024-04-01"):
        suggestions(context(), seen, date.fromisoformat(APRIL))
