"""Outcomes of a new table: how late they come, that a batch lacks none, and thresholds that what was seen keeps."""

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_platform.creating.declarations_text import seen_as, volume
from ml_platform.creating.periods import late_of
from ml_platform.creating.questions import Questions
from ml_platform.creating.quick import QuickFit
from ml_platform.creating.roles import Roles, Wishes, roles_of
from ml_platform.creating.tables import read_table
from ml_platform.creating.thresholds import gates_of, not_nearer
from ml_platform.gates.gate import Gate
from ml_platform.models.task import task_of
from ml_platform.proving.suggest import Suggestion, propose
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import hourly, write

FIRST, LAST = date(2023, 9, 1), date(2024, 2, 28)


def roles(folder: Path, known: pl.Expr) -> Roles:
    """A row every hour from autumn to the end of February, with outcomes where they are known."""
    at = pl.datetime_range(datetime(2023, 9, 1), datetime(2024, 2, 28, 23), "1h", eager=True)
    frame = pl.DataFrame({"id": range(at.len()), "at": at, "size": pl.int_range(at.len(), eager=True) % 7})
    frame = frame.with_columns(sold=pl.when(known).then(pl.col("size") * 1.5 + pl.col("id") % 5))
    return roles_of(read_table(str(write(frame, folder / "t.csv")), folder), Wishes("sold"), Questions(None))


@pytest.mark.parametrize("delay", [0, 1, 10, 30, 31, 45])
def test_outcomes_are_as_late_as_they_are_and_not_by_months(tmp_path: Path, delay: int) -> None:
    known = pl.col("at").dt.date() <= LAST - timedelta(days=delay)
    assert late_of(roles(tmp_path, known), "month") == delay


def test_gaps_and_single_early_outcomes_change_nothing(tmp_path: Path) -> None:
    known = (pl.col("at").dt.date() <= LAST - timedelta(days=30)) & (pl.col("id") % 3 > 0) | (pl.col("id") % 50 == 0)
    assert late_of(roles(tmp_path, known), "month") == 30
    seldom = pl.col("id") % 61 == 0
    assert late_of(roles(tmp_path, seldom), "month") == 0


@pytest.mark.parametrize(("hours", "delay"), [(0, 0), (5, 1), (24, 1), (25, 2)])
def test_hours_count_as_begun_days(tmp_path: Path, hours: int, delay: int) -> None:
    known = pl.col("at") <= datetime(2024, 2, 28, 23) - timedelta(hours=hours)
    made = roles(tmp_path, known)
    made.time, made.timestamp = made.timestamp, ""
    assert late_of(made, "hour") == delay


@pytest.mark.slow
def test_a_month_whose_last_days_have_no_outcome_yet_is_neither_trained_on_nor_held_out(mine: Mine) -> None:
    frame = hourly(4_000).with_columns(day=pl.date(2024, 1, 1) + pl.duration(days=pl.col("number") // 32))
    last = frame["day"].max()
    assert last == date(2024, 5, 4)
    late = frame.with_columns(sold=pl.when(pl.col("day") <= date(2024, 4, 4)).then(pl.col("sold")))
    made = mine.new(mine.table(late, "sales.csv"), "sold", every="week")
    assert made.plan.label_delay == 30
    assert mine.declared("sales_sold")[0]["split"]["label_delay"] == 30
    assert mine.declared("sales")[1]["history_lag"] == 31


@pytest.mark.slow
def test_a_batch_without_any_outcome_is_refused(mine: Mine) -> None:
    from ml_platform.declarations.catalogue import Catalogue
    from ml_platform.declarations.loading import find_mistakes
    from ml_platform.foundation.project import Project
    from ml_platform.gates.batch import BatchEvidence
    from ml_platform.gates.gate import judge

    at = pl.datetime_range(datetime(2024, 3, 3), datetime(2024, 3, 4, 11), "2m", eager=True)
    random = np.random.default_rng(1)
    size = random.normal(10, 3, at.len()).round(2)
    frame = pl.DataFrame({"id": range(at.len()), "at": at, "size": size})
    frame = frame.with_columns(sold=pl.Series(size + random.normal(size=at.len())))
    mine.new(mine.table(frame, "oven.csv"), "sold")
    assert mine.declared("oven")[0]["partitions"]["every"] == "hour"
    mistakes, accepted = find_mistakes(Project.find())
    assert not mistakes
    spec = Catalogue.of(accepted).dataset("oven")
    source = spec.load_source()
    key = max(source.partitions())
    rows = source.read(key)

    def held(batch: pl.DataFrame) -> list[str]:
        evidence = BatchEvidence(lambda: batch, spec.load_schema, spec.key, {}, time=spec.time)
        gates = [gate for gate in spec.gates if gate.gate == "missing"]
        found = judge(gates, evidence, subject="0" * 64, subject_name="x")
        return [one.gate for one in found if one.holds_back]

    assert held(rows) == []
    assert held(rows.with_columns(sold=pl.lit(None, pl.Float64))) == ["missing"]


@lru_cache
def fit_of(task: str, seed: int, signal: float, rows: int) -> QuickFit:
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    if task == "regression":
        y = x * signal + random.normal(size=rows)
        return QuickFit(task_of(task, (), None), y, x * signal, {"mean": np.full(rows, y.mean())}, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-4 * signal * x))).astype(float)
    p = 1 / (1 + np.exp(-4 * signal * x))
    return QuickFit(task_of(task, (), 0.5), y, p, {"base_rate": np.full(rows, y.mean())}, rows)


NUMBERS = re.compile(r"(-?\d[\d.e+-]*)(?: to (-?\d[\d.e+-]*))? seen")


@pytest.mark.slow
@given(
    task=st.sampled_from(["binary", "regression"]),
    seed=st.integers(0, 3),
    signal=st.sampled_from([0.3, 1.0, 3.0]),
    rows=st.sampled_from([200, 1_000]),
    moved=st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=6),
)
def test_a_threshold_is_kept_by_what_is_written_beside_it(
    task: str, seed: int, signal: float, rows: int, moved: list[float]
) -> None:
    fit = fit_of(task, seed, signal, rows)
    if fit.worthless or fit.gain(fit_loss(fit)) <= 0:
        return
    for declared, comment in gates_of(fit, fit, timed=True):
        gate = Gate.model_validate(declared)
        kept(gate, comment)
        own: Any = {
            "performance": lambda gate=gate: fit.metrics[gate.metric or ""],
            "leak_alarm": lambda gate=gate: fit.metrics[gate.metric or ""],
            "baseline": lambda gate=gate: fit.gain(gate.metric or ""),
            "calibration": lambda: fit.calibration,
        }.get(gate.gate)
        if own is None:
            continue
        assert gate.accepts(own()), (gate, own())
        top = 1.0 if gate.gate != "calibration" else 0.6
        seen = [min(top, max(0.001, own() * (1 + one))) for one in moved]
        proposed, reason = propose(gate, seen)
        for first in (proposed, gate):
            windows = Suggestion("m", gate, first, reason, {str(at): value for at, value in enumerate(seen)}, {})
            if (found := not_nearer(windows, fit)) is None:
                assert gate.gate == "leak_alarm" and max(*seen, own()) > 0.9
                continue
            assert found.proposed.accepts(own()), (found.proposed, own())
            if found.proposed != gate:
                assert all(found.proposed.accepts(value) for value in seen), (found.proposed, seen)
                kept(found.proposed, found.line().partition("# ")[2])


def fit_loss(fit: QuickFit) -> str:
    return "brier" if fit.task.output == "probability" else "mae"


def kept(gate: Gate, comment: str) -> None:
    """What a comment says was seen keeps the threshold before it."""
    for pair in NUMBERS.findall(comment):
        assert all(gate.accepts(float(value)) for value in pair if value), (gate, comment)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=8))
def test_the_volume_that_was_seen_is_allowed(rows: list[int]) -> None:
    declared, comment = volume(rows)
    gate = Gate.model_validate(declared)
    assert NUMBERS.search(comment)
    kept(gate, comment)


@given(st.floats(0, 1, allow_nan=False), st.floats(0, 1, allow_nan=False))
def test_what_is_shown_of_a_value_lies_on_its_side(value: float, limit: float) -> None:
    gate = {"gate": "duplicates", "max": limit}
    assert Gate.model_validate(gate).accepts(float(seen_as([value], gate))) == (value <= limit)
