"""Measures of single kinds of gates on small evidence."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_platform.evaluation.contrasts import Contrast
from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.evaluation.fairness import Fairness
from ml_platform.evaluation.latency import OneRow
from ml_platform.evaluation.slices import BY
from ml_platform.features.checks import single_feature_auc
from ml_platform.foundation.errors import MissingReference
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Verdict, judge
from ml_platform.gates.service import RunningService, ServiceEvidence
from ml_platform.pipeline.release import _running
from ml_platform.serving.load import Load
from ml_platform.training.first_trees import FirstTrees
from ml_platform_tests.evaluation.fitted import OLDER, SPLIT, measured
from ml_platform_tests.gates.batches import FRAME, batch


@pytest.mark.parametrize(
    ("now", "age"),
    [
        # Long after the window has closed, its own end is the clock: the 29th to the 31st are missing.
        (datetime(2026, 1, 1, tzinfo=UTC), 3),
        # While it is open, the present is.
        (datetime(2013, 3, 29, 12, tzinfo=UTC), 0),
        (datetime(2013, 3, 31, tzinfo=UTC), 2),
        # An event that lies ahead of the clock is not stale.
        (datetime(2013, 3, 2, tzinfo=UTC), 0),
    ],
)
def test_freshness_is_measured_on_the_clock_of_the_events(now: datetime, age: int) -> None:
    assert batch({"gate": "freshness", "max": 2}, now=now).observed == age
    assert batch({"gate": "freshness", "max": 2}, now=now).passed == (age <= 2)


def test_freshness_of_a_batch_without_days_or_without_a_window() -> None:
    empty = FRAME.with_columns(day=pl.lit(None, pl.Date))
    assert batch({"gate": "freshness", "max": 2}, empty).status == "failed"
    assert batch({"gate": "freshness", "max": 2}, window=None).status == "errored"


def test_rows_of_another_time_than_the_window() -> None:
    edges = pl.DataFrame({"day": [date(2013, 2, 28), date(2013, 3, 1), date(2013, 3, 31), date(2013, 4, 1), None]})
    found = batch({"gate": "window"}, edges)
    assert found.observed == 3 and not found.passed
    assert {row["day"]: row["rows"] for row in found.details["days"]} == {"2013-02-28": 1, "2013-04-01": 1, "None": 1}
    assert batch({"gate": "window"}, edges[1:3]).passed


def test_references_to_nothing_known() -> None:
    gate = {"gate": "referential", "columns": ["place"], "max": 0.4}
    found = batch(gate)
    assert found.observed == 0.5 and not found.passed
    assert found.details["columns"] == [{"column": "place", "rows": 2, "values": 1}]
    assert batch(gate, FRAME.with_columns(place=pl.lit("c"))).observed == 0


def test_the_reference_is_what_was_accepted_or_declared() -> None:
    gate = {"gate": "referential", "columns": ["place"], "max": 0.4}
    assert batch(gate, earlier_rows={}).passed
    assert "no earlier batch" in batch(gate, earlier_rows={}).reason
    assert batch({**gate, "reference": ["2013-01-01"]}).observed == 0.5
    refused = batch({**gate, "reference": ["2013-02-01"]})
    assert refused.status == "errored" and "2013-02-01 is not among the accepted" in refused.reason
    lacking = batch({**gate, "columns": ["nowhere"]})
    assert lacking.status == "errored" and "no column nowhere" in lacking.reason


def test_a_distribution_that_moved() -> None:
    random = np.random.default_rng(0)
    earlier = pl.DataFrame({"size": random.normal(size=2000), "place": random.choice(["a", "b"], 2000)})
    moved = pl.DataFrame({"size": random.normal(2, size=1000), "place": random.choice(["a", "b"], 1000)})
    options = {"earlier": lambda _, columns: earlier.select(columns)}
    gate = {"gate": "distribution", "metric": "psi", "columns": ["size", "place"], "max": 0.2}
    found = batch(gate, moved, **options)
    assert not found.passed and (found.observed or 0) > 1 and "size has moved most" in found.reason
    assert batch({**gate, "metric": "share", "max": 0.5}, moved, **options).observed == 0.5
    same = batch(gate, earlier.head(1000), **options)
    assert same.passed and (same.observed or 0) < 0.02
    shifted = batch({**gate, "metric": "jensen_shannon"}, moved, **options)
    assert not shifted.passed and "size has moved most (jensen shannon 0." in shifted.reason
    assert batch({**gate, "metric": "kolmogorov_smirnov"}, moved, **options).status == "errored", "place is no number"
    numbers = batch({**gate, "metric": "kolmogorov_smirnov", "columns": ["size"], "max": 0.1}, moved, **options)
    assert not numbers.passed and (numbers.observed or 0) > 0.6
    with pytest.raises(ValidationError, match="has no metric 'kolmogorov'; take psi, jensen_shannon"):
        batch({**gate, "metric": "kolmogorov"}, moved, **options)


def test_a_declared_reference_is_part_of_the_declaration_and_none_changes_nothing() -> None:
    plain = Gate.model_validate({"gate": "referential", "columns": ["place"], "max": 0.4})
    named = plain.model_copy(update={"reference": ("2013-01-01",)})
    assert plain.declaration != named.declaration


def test_a_single_feature_is_turned_and_ties_count_half() -> None:
    frame = pl.DataFrame(
        {
            "up": [1.0, 2.0, 3.0, 4.0, None],
            "down": [4.0, 3.0, 2.0, 1.0, 9.0],
            "tied": [1.0, 1.0, 1.0, 1.0, 1.0],
            "half": [1.0, 2.0, 2.0, 3.0, float("nan")],
            "y": [0, 0, 1, 1, None],
            "minutes": [1.0, 2.0, 30.0, 40.0, None],
            "always": [1, 1, 1, 1, 1],
        }
    )
    names = ["up", "down", "tied", "half"]
    expected = {"up": 1.0, "down": 1.0, "tied": 0.5, "half": 3.5 / 4}
    assert single_feature_auc(frame, names, "y") == pytest.approx(expected)
    assert single_feature_auc(frame, names, "minutes") == pytest.approx(expected)
    assert single_feature_auc(frame, names, "always") == {}
    unknown = frame.with_columns(always=pl.lit(None, pl.Float32))
    assert single_feature_auc(unknown, names, "always") == {}
    # Of a label of texts, one class against the others: `b` alone is told by its own number.
    told = pl.DataFrame({"kind": ["a", "b", "c", None] * 5, "of_b": [0.0, 1.0, 0.0, 2.0] * 5, "flat": [1.0] * 20})
    assert single_feature_auc(told, ["of_b", "flat"], "kind") == {"of_b": 1.0, "flat": 0.5}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return measured(SPLIT, OLDER)[0]


def model(evaluation: Evaluation, **gate: Any) -> Verdict:
    """The verdict of one gate on an evaluation."""
    (verdict,) = judge([Gate.model_validate(gate)], evaluation, subject="a" * 64, subject_name="x")
    return verdict


def test_what_was_not_measured_is_an_error_that_names_what_was(evaluation: Evaluation) -> None:
    for gate, reason in (
        ({"gate": "confidence", "metric": "f2", "min": 0.1}, "auc, brier, pr_auc"),
        ({"gate": "slices", "metric": "auc", "columns": ["region"], "max": 1}, "carrier"),
        ({"gate": "slices", "metric": "f1", "max": 1}, "auc"),
        ({"gate": "robustness", "metric": "unseen_loss", "max": 1}, "missing_loss"),
    ):
        found = model(evaluation, **gate)
        assert found.status == "errored" and reason in found.reason, found.reason


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ({"gate": "churn", "metric": "flips", "max": 1}, "take flipped, mean_absolute_difference"),
        ({"gate": "fairness", "metric": "parity", "columns": ["carrier"], "max": 1}, "demographic_parity_difference"),
        ({"gate": "robustness", "metric": "missing_hope", "max": 1}, "take missing_loss"),
        ({"gate": "explanation", "metric": "top", "min": 1}, "take top_features, shap_values"),
    ],
)
def test_a_metric_that_does_not_exist_is_no_declaration(gate: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Gate.model_validate(gate)


def test_an_evaluation_made_before_these_gates_is_an_error_not_a_pass(evaluation: Evaluation) -> None:
    empty = {"intervals": {}, "fairness": {}, "robustness": [], "stability": None, "model_bytes": None}
    older = evaluation.model_copy(update=empty)
    for gate in (
        {"gate": "confidence", "metric": "auc", "min": 0.1},
        {"gate": "fairness", "metric": "demographic_parity_ratio", "columns": ["carrier"], "min": 0.1},
        {"gate": "robustness", "metric": "noise_loss", "max": 1},
        {"gate": "explanation", "metric": "shap_values", "min": 0.1},
        {"gate": "model_size", "max": 1e9},
    ):
        assert model(evaluation, **gate).passed
        assert model(older, **gate).status == "errored"


def test_without_a_champion_there_is_nothing_to_compare(evaluation: Evaluation) -> None:
    alone = evaluation.model_copy(update={"champion": None, "stability": None})
    assert model(alone, gate="churn", metric="flipped", max=0).passed
    assert model(alone, gate="explanation", metric="top_features", min=1).passed
    assert evaluation.champion is not None
    seen = evaluation.champion.model_copy(update={"rows": 0, "churn": {}})
    blind = evaluation.model_copy(update={"champion": seen})
    assert model(blind, gate="churn", metric="flipped", max=0.5).status == "not_enough_support"


def test_groups_that_are_too_small_are_not_judged(evaluation: Evaluation) -> None:
    found = model(evaluation, gate="slices", metric="auc", max=1)
    assert {row["group"] for row in found.details["slices"]} == {"AA", "UA"} and "1 groups too small" in found.reason
    many = model(evaluation, gate="slices", metric="auc", max=1, min_support=10_000)
    assert many.status == "not_enough_support"
    few = evaluation.fairness["carrier"].model_copy(update={"disparities": {}, "groups": ("AA",)})
    alone = evaluation.model_copy(update={"fairness": {"carrier": few}})
    gate = {"gate": "fairness", "metric": "equalized_odds_difference", "columns": ["carrier"], "max": 1}
    assert model(evaluation, **gate).passed
    assert model(alone, **gate).status == "not_enough_support"


def test_the_worst_slice_is_worse_whichever_way_the_metric_runs(evaluation: Evaluation) -> None:
    rows = {row["group"]: row for row in evaluation.slices["carrier"]}
    auc = model(evaluation, gate="slices", metric="auc", max=1).observed
    brier = model(evaluation, gate="slices", metric="brier", max=1).observed
    supported = [rows["AA"], rows["UA"]]
    assert auc == pytest.approx(evaluation.metrics["auc"] - min(row["auc"] for row in supported))
    assert brier == pytest.approx(max(row["brier"] for row in supported) - evaluation.metrics["brier"])


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            {"gate": "slices", "max": 1},
            "no slice is large enough: it takes 5,000 rows, 20 of them of either class, and the ",
        ),
        (
            {"gate": "slices", "max": 1, "against": "others"},
            "no two slices are large enough: it takes 5,000 rows, 20 of ",
        ),
    ],
)
def test_groups_that_are_too_small_are_told_with_what_it_takes(
    evaluation: Evaluation, gate: dict[str, Any], said: str
) -> None:
    options = evaluation.options.model_copy(update={"contrasts": ("carrier",)})
    found = model(evaluation.model_copy(update={"options": options}), **gate, metric="auc", min_support=5_000)
    rows = max((row["rows"], row["group"]) for row in evaluation.slices["carrier"])
    assert found.status == "not_enough_support" and found.reason.startswith(said)
    assert found.reason.endswith(f"largest of {len(evaluation.slices['carrier'])} has {rows[0]:,} (carrier {rows[1]})")


def test_disparities_of_too_few_groups_are_told_with_what_it_takes(evaluation: Evaluation) -> None:
    small = {"carrier": Fairness(groups=(), too_small=("AA",), support=0, disparities={})}
    gate = {"gate": "fairness", "metric": "equalized_odds_difference", "columns": ["carrier"], "max": 1}
    found = model(evaluation.model_copy(update={"fairness": small}), **gate)
    assert found.status == "not_enough_support"
    assert "fewer than two groups are large enough by carrier: it takes 100 rows, 20 of them of either" in found.reason


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        (FirstTrees(2, 0, 50), "passed", "the first 2 trees are those of the 50 rows of the manifest"),
        (FirstTrees(2, 1, 50), "failed", "1 of the first 2 trees are not those of the 50 rows of the manifest"),
        (
            *(FirstTrees(1, 0, 50, whole=True), "passed"),
            "trained again as a whole on the 50 rows of the manifest, the model is the same",
        ),
        (
            *(FirstTrees(1, 1, 50, whole=True), "failed"),
            "trained again as a whole on the 50 rows of the manifest, the model is another",
        ),
    ],
)
def test_a_model_without_trees_is_told_of_without_them(found: FirstTrees, status: str, reason: str) -> None:
    gates = [Gate(gate="trained_on")]
    (verdict,) = judge(gates, None, subject="0" * 64, subject_name="m/model", asked={"first_trees": lambda: found})
    assert (verdict.status, verdict.reason) == (status, reason)


def contrast(group: str, worse: float, lower: float, rows: int = 1000) -> Contrast:
    """A group of 0.7 less ``worse``, beside others of 0.7."""
    return Contrast(
        group=group, rows=rows, value=0.7 - worse, others=0.7, worse=worse, lower=lower, upper=2 * worse - lower
    )


def test_a_slice_is_held_against_the_others_by_what_is_beyond_chance(evaluation: Evaluation) -> None:
    gate = {"gate": "slices", "metric": "auc", "against": "others", "max": 0.05}
    tables = {
        "carrier": {"auc": [contrast("AA", 0.04, 0.02), contrast("ZZ", 0.2, -0.1, rows=120)]},
        "month": {"auc": [contrast("2024-01", 0.09, 0.06)]},
        f"carrier{BY}month": {"auc": [contrast(f"AA{BY}2024-01", 0.01, -0.1)]},
    }
    options = evaluation.options.model_copy(update={"contrasts": ("carrier", "month")})
    held = evaluation.model_copy(update={"contrasts": tables, "options": options})
    carriers = model(held, **gate, columns=["carrier"])
    # The small slice is further off, and its days explain that.
    assert carriers.passed and carriers.observed == 0.02 and "where carrier is AA" in carriers.reason
    assert carriers.support == 120 and "2 slices judged" in carriers.reason
    both = model(held, **gate, columns=["carrier", "month"])
    assert both.status == "failed" and both.observed == 0.06
    assert "where month is 2024-01" in both.reason and "4 slices judged" in both.reason
    assert model(held, **gate, columns=["carrier"], min_support=500).support == 1000
    assert model(held, **gate, columns=["carrier"], min_support=5000).status == "not_enough_support"
    for lacking, reason in (
        (model(held, **gate, columns=["depot"]), "contrast of depot; measured: carrier, month"),
        (model(held, **{**gate, "metric": "f1"}, columns=["carrier"]), "there is no metric 'f1' of slices"),
        (model(evaluation, **gate, columns=["carrier"]), "there is no contrast of carrier; measured: nothing"),
    ):
        assert lacking.status == "errored" and reason in lacking.reason, lacking.reason
    with pytest.raises(ValidationError, match="against is others, not 'whole'"):
        Gate.model_validate({**gate, "against": "whole"})


def test_a_gain_is_over_the_best_baseline_or_the_one_that_is_named(evaluation: Evaluation) -> None:
    brier = {name: metrics["brier"] for name, metrics in evaluation.baselines.items()}
    assert brier["logistic_regression"] < brier["base_rate"]
    ours = evaluation.metrics["brier"]
    gate = {"gate": "baseline", "metric": "brier", "min": -1}
    best, rate = model(evaluation, **gate), model(evaluation, **gate, against="base_rate")
    assert best.observed == pytest.approx(1 - ours / brier["logistic_regression"])
    assert rate.observed == pytest.approx(1 - ours / brier["base_rate"]) and "of base_rate" in rate.reason
    unknown = model(evaluation, **gate, against="median")
    assert unknown.status == "errored" and "base_rate, logistic_regression" in unknown.reason
    with pytest.raises(ValidationError, match="does nothing with against"):
        Gate(gate="calibration", max=1, against="base_rate")


def test_what_a_gate_is_held_against_is_part_of_its_declaration_only_where_given() -> None:
    plain = Gate(gate="baseline", metric="brier", min=0.005)
    # As releases before the key wrote it.
    assert plain.declaration == "ac2ae7f6288b9800"  # pragma: allowlist secret
    assert Gate(gate="baseline", metric="brier", min=0.005, against="base_rate").declaration != plain.declaration


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"gate": "fairness", "metric": "demographic_parity_ratio", "columns": ["carrier"], "max": 1}, "a ratio has"),
        (
            {"gate": "champion", "metric": "auc", "mode": "non_inferior", "min": 0.1},
            "min 0.1 does not fit mode non_inf",
        ),
        ({"gate": "champion", "metric": "auc", "mode": "superior", "min": -0.1}, "min -0.1 does not fit mode superior"),
        ({"gate": "coverage", "every": "day", "by": ["carrier"], "max": 1}, "give every or by, not both"),
        (
            {"gate": "labels", "metric": "known", "columns": ["late"], "every": "day", "min": 0.1, "max": 1},
            "known has a min or a max",
        ),
        ({"gate": "labels", "metric": "change", "columns": ["late"], "every": "day", "max": 1}, "change per slice"),
        ({"gate": "labels", "metric": "known", "columns": ["late"], "every": "hour", "min": 1}, "counted per day"),
        ({"gate": "distribution", "metric": "profile", "columns": ["dep"], "max": 1}, "a profile needs slices, by:"),
        ({"gate": "near_duplicates", "columns": ["dep"], "every": "hour", "max": 1}, "earlier days: every: day"),
        ({"gate": "near_duplicates", "columns": ["dep"], "but_for": ["id"], "max": 1}, "but_for or columns"),
    ],
    ids=range(10),
)
def test_keys_that_do_not_go_together_are_told_of_the_declaration(declared: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(reason)):
        Gate(**declared)


@pytest.mark.parametrize("mode", ["non_inferior", "superior"])
def test_a_gain_of_nothing_fits_both_modes(mode: Any) -> None:
    Gate(gate="champion", metric="auc", mode=mode, min=0)


FAST = Load(rate=50, achieved=50, requests=300, p50=4, p95=7, p99=9, max=12)


class Loaded(RunningService):
    """A service that would meet this load."""

    def __init__(self, load: Load) -> None:
        super().__init__("http://127.0.0.1:1", "", ())
        object.__setattr__(self, "load", load)

    def under_load(self, rate: float) -> Load:
        assert rate == 50
        return self.load  # type: ignore[attr-defined]


def service(load: Load | None, **gate: Any) -> Verdict:
    """The verdict of the latency gate on a service that met this load; ``None``: that did not start."""
    found = ServiceEvidence("it did not start" if load is None else "", 1.0, 20, 500, 0, 0.0, (), 20)
    declared = Gate.model_validate({"gate": "latency", "rate": 50, "max": 100, **gate})
    running = partial(_running, None if load is None else Loaded(load), found.error)
    (verdict,) = judge([declared], found, subject="a" * 64, subject_name="x", asked={"running": running})
    return verdict


def test_latency_under_load() -> None:
    found = service(FAST)
    assert found.passed and (found.observed, found.support) == (9, 300)
    (table,) = found.details["load"]
    assert table == {
        "requests": 300, "rate asked": 50, "rate achieved": 50, "p50 ms": 4, "p95 ms": 7, "p99 ms": 9, "max ms": 12
    }  # fmt: skip
    slow = service(replace(FAST, achieved=31.5, p99=2900, max=3000))
    assert slow.status == "failed" and slow.observed == 2900
    assert "31.5 of 50 requests per second were answered" in slow.reason
    assert service(FAST, min_support=301).status == "not_enough_support"


def test_a_refusal_is_never_a_fast_answer() -> None:
    found = service(replace(FAST, achieved=49.5, not_answered={"429": 2, "no answer": 1}))
    assert found.status == "failed" and found.observed is None
    assert "2 × 429, 1 × no answer" in found.reason and "49.5 of 50" in found.reason  # noqa: RUF001
    assert found.details["not answered"] == [{"answer": "429", "requests": 2}, {"answer": "no answer", "requests": 1}]
    silent = service(None)
    assert silent.status == "errored" and "there is no running service to ask: it did not start" in silent.reason


def test_latency_of_the_model_is_measured_when_its_gate_asks() -> None:
    def judged(one_row: Any) -> Verdict:
        gate = Gate(gate="model_latency", max=2)
        (verdict,) = judge([gate], None, subject="a" * 64, subject_name="x", asked={"one_row": one_row})
        return verdict

    found = judged(lambda: OneRow(500, 0.1, 0.2, 0.3, 9.0))
    assert found.passed and (found.observed, found.support) == (0.3, 500)
    assert found.details["latency"] == [{"p50 ms": 0.1, "p95 ms": 0.2, "p99 ms": 0.3, "max ms": 9.0}]
    assert judged(lambda: OneRow(500, 0.1, 0.2, 2.1, 9.0)).status == "failed"

    def lost() -> OneRow:
        raise MissingReference("the model file is gone")

    assert judged(lost).status == "errored"
