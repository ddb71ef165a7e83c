"""Answers to copies of requests beside those that were given: intervals over groups, and what a gate says of them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.rollout import changes, rules, sent_copies
from ml_platform.rollout.differences import of_mean, of_share
from ml_platform.rollout.pairs import pairs
from ml_platform.rollout.record import Judged, RolloutRecord, ShadowGate, Step
from ml_platform.rollout.sent_copies import Count, Sent, SentCopies
from ml_platform.rollout.shadow import Looks, judged
from ml_platform.serving.prediction_log import Answerer, Asked, PredictionLog
from ml_platform.testing.rollout_records import backend

STABLE, CANDIDATE = "a" * 64, "b" * 64
SENT = Sent(datetime(2024, 1, 1, tzinfo=UTC), Count(1, 0, 0), lambda: Count(1, 10**6, 10**6))
STEPS = (Step(shadow=100, requests=10), Step(weight=10, requests=10))


def gate(metric: str = "decisions", limit: float = 0.1, **keys: Any) -> ShadowGate:
    return ShadowGate(declared={"gate": "shadow", "name": f"shadow_{metric}", "metric": metric, "max": limit, **keys})


def answered(
    folder: Path, package: str, predictions: np.ndarray, *, role: str, classes: tuple[str, ...] = (), took: float = 0.0
) -> None:
    """Log a request of each prediction: day, shop."""
    log = PredictionLog(folder, Answerer("m", 1, package), classes=classes, flush_seconds=60)
    for number, prediction in enumerate(predictions):
        row = pl.DataFrame({"day": [date(2024, 1, 1) + timedelta(days=number % 30)], "shop": [f"s{number % 5}"]})
        log.add(Asked(f"r{number}", role=role, began=None), row, np.array([prediction], np.float32))
    for entry, extra in zip(log._waiting, np.resize([0.001, 0.003], len(predictions)), strict=True):
        log._waiting[log._waiting.index(entry)] = entry._replace(seconds=took + extra)
    log.close()


def asked(folder: Path, by: tuple[str, ...] = (), since: datetime | None = None) -> pl.DataFrame:
    since = since or datetime.now(UTC) - timedelta(minutes=1)
    return pairs(folder / "m", since, STABLE, CANDIDATE, by)


def both(folder: Path, given: np.ndarray, copies: np.ndarray, **further: Any) -> None:
    answered(folder, STABLE, given, role="stable", **further)
    answered(folder, CANDIDATE, copies, role="shadow", **further)


def test_an_interval_covers_the_truth_for_groups_and_not_for_rows() -> None:
    """300 draws of 30 groups that are alike in themselves: taken for independent rows, two in three would miss."""
    rng = np.random.default_rng(1)
    hits = {"groups": 0, "rows": 0, "share": 0}
    groups = np.repeat(np.arange(30), 40)
    for _ in range(300):
        common = rng.normal(0, 1, 30)
        values = common[groups] + rng.normal(0, 1, groups.size)
        differs = rng.random(groups.size) < np.clip(0.1 + 0.05 * common, 0, 1)[groups]
        for name, found, truth in (
            ("groups", of_mean(values, groups), 0.0),
            ("rows", of_mean(values, np.arange(groups.size)), 0.0),
            ("share", of_share(differs, groups), 0.1015),
        ):
            assert found is not None
            hits[name] += found.lower <= truth <= found.upper
    assert hits["groups"] > 275 and hits["share"] > 275
    assert hits["rows"] < 150


def test_where_nothing_differs_the_share_is_no_point_and_few_groups_have_no_interval() -> None:
    none = of_share(np.zeros(100, bool), np.arange(100))
    assert none is not None and none.mean == none.lower == 0.0 and none.upper == pytest.approx(0.038, abs=0.002)
    # A hundred rows of twenty customers say as much as twenty rows.
    few = of_share(np.zeros(100, bool), np.arange(100) % 20)
    assert few is not None and few.upper == pytest.approx(0.18, abs=0.01)
    assert of_mean(np.zeros(100), np.arange(100) % 19) is None
    assert of_mean(np.zeros(0), np.zeros(0, int)) is None


def test_one_request_is_paired_by_its_id_whatever_else_was_answered(tmp_path: Path) -> None:
    given = np.linspace(0.1, 0.9, 40)
    both(tmp_path, given, given[:30] + 0.05)
    # Answers of the candidate to requests of its own, of another package, and of an earlier step are no copies.
    answered(tmp_path, CANDIDATE, given + 0.3, role="candidate")
    answered(tmp_path, "c" * 64, given + 0.3, role="shadow")
    found = asked(tmp_path)
    assert sorted(found["request_id"]) == sorted(f"r{n}" for n in range(30))
    assert (found["copy_prediction"] - found["prediction"]).to_numpy() == pytest.approx(0.05, abs=1e-6)
    assert asked(tmp_path, since=datetime.now(UTC) + timedelta(seconds=1)).is_empty()
    assert pairs(tmp_path / "nobody", datetime.now(UTC), STABLE, CANDIDATE).is_empty()
    with pytest.raises(PlatformError, match="the prediction log has no column 'colour'"):
        asked(tmp_path, ("colour",))
    next(tmp_path.rglob("*.parquet")).write_bytes(b"cut off")
    with pytest.raises(PlatformError, match="cannot be read"):
        asked(tmp_path)


def test_decisions_are_compared_by_the_threshold_of_each_version(tmp_path: Path) -> None:
    given = np.linspace(0.0, 1.0, 200)
    both(tmp_path, given, given)
    found = asked(tmp_path)
    assert judged(gate(), found, (0.5, 0.5)).status == "passed"
    other = judged(gate(), found, (0.5, 0.8))
    assert (other.status, other.rows, other.groups) == ("failed", 200, 200)
    assert other.mean == pytest.approx(0.3, abs=0.01)
    assert other.reason.startswith("shadow_decisions: 30.00% [24.")
    assert other.reason.endswith("of the decisions differ, at most 0.1, in 200 rows of 200 copied requests, 200 groups "
                                 "by request")  # fmt: skip


def test_outputs_and_latency_are_compared_row_by_row_and_request_by_request(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    given = rng.random(200)
    # The same distribution, which no rule on it can see, in another order.
    both(tmp_path / "order", given, rng.permutation(given))
    assert judged(gate("outputs"), asked(tmp_path / "order"), (None, None)).status == "failed"
    answered(tmp_path / "slow", STABLE, given, role="stable", took=0.002)
    answered(tmp_path / "slow", CANDIDATE, given, role="shadow", took=0.012)
    found = asked(tmp_path / "slow")
    slow = judged(gate("latency", 5.0), found, (None, None))
    assert (slow.status, slow.mean) == ("failed", pytest.approx(10.0, abs=0.01))
    assert judged(gate("latency", 15.0), found, (None, None)).status == "passed"
    assert judged(gate("outputs"), found, (None, None)).mean == 0.0


def test_of_several_classes_the_probabilities_and_the_named_class_are_compared(tmp_path: Path) -> None:
    given = np.tile([[0.6, 0.3, 0.1]], (40, 1))
    both(tmp_path, given, given[:, [1, 0, 2]], classes=("x", "y", "z"))
    found = asked(tmp_path)
    assert judged(gate("outputs"), found, (None, None)).mean == pytest.approx(0.3, abs=1e-6)
    assert judged(gate("decisions"), found, (None, None)).mean == 1.0


def test_groups_are_of_days_and_keys_and_too_few_are_no_pass(tmp_path: Path) -> None:
    given = np.linspace(0.0, 1.0, 300)
    both(tmp_path, given, given)
    found = asked(tmp_path, ("day", "shop"))
    by = {
        columns: judged(gate(by=list(columns)), found, (0.5, 0.5)) for columns in [("day",), ("shop",), ("day", "shop")]
    }
    assert {columns: one.groups for columns, one in by.items()} == {("day",): 30, ("shop",): 5, ("day", "shop"): 30}
    assert by["shop",].status == "open" and by["shop",].reason.endswith("5 groups by shop: it takes 20 groups")
    # Thirty days without a difference leave 12 % possible: that is not at most 10 %, and not above it either.
    assert by["day",].status == "open" and by["day",].upper == pytest.approx(0.126, abs=0.005)
    assert judged(gate(limit=0.2, by=["day"]), found, (0.5, 0.5)).status == "passed"
    more = judged(gate(min_support=301), found, (0.5, 0.5))
    assert more.status == "open" and more.reason.endswith("it takes 301 rows")
    nothing = judged(gate(), found.head(0), (0.5, 0.5))
    assert (nothing.status, nothing.rows) == ("open", 0)


def test_a_package_that_logs_no_time_is_no_pass_of_latency(tmp_path: Path) -> None:
    both(tmp_path, np.zeros(50), np.zeros(50))
    for file in tmp_path.rglob("*.parquet"):
        # As a package of an earlier release writes it (format 2).
        pl.read_parquet(file).drop("answer_seconds").write_parquet(file)
    found = asked(tmp_path)
    assert judged(gate("latency"), found, (None, None)).status == "open"
    assert judged(gate("outputs"), found, (None, None)).status == "passed"


def rolling(*gates: ShadowGate, steps: tuple[Step, ...] = STEPS) -> RolloutRecord:
    """A record whose candidate gets copies."""
    made = changes.promoted(changes.started(RolloutRecord(model="m"), backend(1), by="a", why="b"), why="c")
    made = changes.started(made, backend(2), by="a", why="b", strategy=steps, gates=gates)
    return changes.stepped(made, why="d")


def seen(*copies: Judged) -> rules.Seen:
    enough = rules.Counted(rules.Traffic(requests=10))
    return rules.Seen(ready=True, routed=True, seconds=1.0, candidate=enough, copies=copies)


def said(status: Any, **keys: Any) -> Judged:
    return Judged(gate=gate(**keys), status=status, reason=f"it {status}", upper=1.0)


@pytest.mark.parametrize(
    ("copies", "do"),
    [
        ((), "wait"),
        ((said("open"),), "wait"),
        ((said("passed"), said("open")), "wait"),
        ((said("passed"), said("failed")), "roll_back"),
        ((said("passed"), said("passed")), "step"),
        ((said("passed"), said("failed", severity="warn"), said("open", severity="warn")), "step"),
    ],
)
def test_the_first_real_percent_waits_for_every_gate(copies: tuple[Judged, ...], do: str) -> None:
    record = rolling(gate(), gate("outputs"))
    decision = rules.decide(record, seen(*copies))
    assert decision.do == do
    assert decision.judged == (copies if do != "wait" else ())
    # Before the step has got its requests nobody asks them.
    early = rules.decide(record, rules.Seen(ready=True, routed=True, copies=copies))
    assert early == rules.Decision("wait", "0 of 10 requests")


def test_gates_are_asked_before_the_first_percent_only() -> None:
    record = rolling(gate())
    assert record.compares
    assert not changes.stepped(record, why="e").compares
    assert not rolling().compares
    halves = (Step(shadow=10), Step(shadow=100), Step(weight=10))
    first = rolling(gate(), steps=halves)
    assert (first.compares, changes.stepped(first, why="e").compares) == (False, True)
    # A step without copies before the first percent can show nothing: it is waited for, not passed.
    assert changes.stepped(rolling(gate(), steps=(Step(shadow=10), Step(), Step(weight=10))), why="e").compares
    # Without a version that answers there is nothing to compare with; nor is there for one that comes back.
    alone = changes.started(RolloutRecord(model="m"), backend(1), by="a", why="b", strategy=STEPS, gates=[gate()])
    assert alone.gates == () == changes.returned(record, backend(3), by="a", why="b").gates


def test_a_change_keeps_what_the_gates_said() -> None:
    one = said("passed")
    changed = changes.stepped(rolling(gate()), why="it passed", judged=[one])
    assert changed.change is not None and changed.change.judged == (one,)
    assert RolloutRecord.model_validate_json(changed.model_dump_json()) == changed
    back = changes.rolled_back(rolling(gate()), why="it failed", judged=[said("failed")])
    assert back.change is not None and back.change.judged[0].status == "failed"


def test_the_supervisor_waits_for_no_comparison_and_a_defect_of_one_is_no_pass(settings: Settings) -> None:
    record, asked_for = rolling(gate()), []

    def compare(_: Settings, of: RolloutRecord, __: Sent | None) -> tuple[Judged, ...]:
        asked_for.append(of.step)
        if len(asked_for) > 1:
            raise ValueError("a defect")
        return (said("passed"),)

    looks = Looks(settings, compare)
    assert looks.of(record, None) == () and looks._looks["m"].under_way is None, "nobody says what was sent"

    def done(step: RolloutRecord) -> tuple[Judged, ...]:
        look = looks._looks[step.model]
        assert look.under_way is not None
        look.under_way.exception(10)
        return looks.of(step, SENT)

    assert looks.of(record, SENT) == ()
    assert done(record) == (said("passed"),)
    # The next one comes after a pause.
    assert looks.of(record, SENT) == (said("passed"),) and asked_for == [1]
    looks._looks["m"].next = 0.0
    assert looks.of(record, SENT) == (said("passed"),)
    assert done(record) == () and asked_for == [1, 1]
    # Another step, another comparison.
    assert looks.of(changes.stepped(record, why="e"), SENT) == ()


def test_pairs_whose_rows_differ_are_no_copies(tmp_path: Path) -> None:
    """Whoever writes both sides of a pair could ask each something else: answers that agree would say nothing."""
    said = np.full(40, 0.1, np.float32)
    both(tmp_path, said, said)
    clean = asked(tmp_path)
    assert clean["same"].to_list() == [True] * 40
    log = PredictionLog(tmp_path, Answerer("m", 1, CANDIDATE), flush_seconds=60)
    other = PredictionLog(tmp_path, Answerer("m", 1, STABLE), flush_seconds=60)
    for number in range(40, 80):
        for to, shop, role in ((other, "s1", "stable"), (log, "s2", "shadow")):
            row = pl.DataFrame({"day": [date(2024, 1, 1) + timedelta(days=number % 30)], "shop": [shop]})
            to.add(Asked(f"r{number}", role=role), row, np.array([0.1], np.float32))
    log.close()
    other.close()
    found = judged(gate("outputs", min_support=60), asked(tmp_path), (0.5, 0.5))
    assert (found.status, found.rows, found.requests) == ("open", 40, 40)
    assert "without 40 rows that the two were asked differently" in found.reason
    assert "differently" not in judged(gate("outputs", min_support=30), clean, (0.5, 0.5)).reason


def test_pairs_are_those_that_were_asked_since_whenever_they_were_written(tmp_path: Path) -> None:
    since = datetime.now(UTC) - timedelta(seconds=5)
    for package, role in ((STABLE, "stable"), (CANDIDATE, "shadow")):
        log = PredictionLog(tmp_path, Answerer("m", 1, package), flush_seconds=60)
        for seconds in (-1, 0, 1):
            asked_at = int(since.timestamp() * 1e9) + seconds * 10**9
            row = pl.DataFrame({"day": [date(2024, 1, 1)], "shop": ["s1"]})
            log.add(Asked(f"{asked_at}-7", role=role), row, np.array([0.1], np.float32))
        log.close()
    assert asked(tmp_path, since=since).height == 2


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[Count | None]:
    """What is counted from now on, the last one for ever; each look asks."""
    monkeypatch.setattr(sent_copies, "LOOK", 0.0)
    return []


def test_copies_are_counted_from_the_first_look_of_a_step(counts: list[Count | None]) -> None:
    copies = SentCopies()
    assert copies.look("step 1", lambda: None) is None
    before = datetime.now(UTC)
    ask = lambda: counts[-1]  # noqa: E731
    counts.append(Count(7, 100, 1000))
    first = copies.look("step 1", ask)
    assert first is not None and first.since >= before and first.now() == Count(7, 0, 0)
    counts.append(Count(7, 130, 1060))
    assert copies.look("step 1", ask) is first and first.now() == Count(7, 30, 60)
    counts.append(None)
    assert copies.look("step 1", ask) is first and first.now() is None, "a router that is silent for a moment"
    counts.append(Count(7, 130, 1060))
    second = copies.look("step 2", ask)
    assert second is not None and second.since > first.since and second.now() == Count(7, 0, 0)


@pytest.mark.parametrize(
    "anew", [Count(8, 140, 1070), Count(7, 3, 1070), Count(7, 140, 3)], ids=["router", "its count", "process"]
)
def test_what_was_copied_before_a_count_began_anew_counts_no_more(counts: list[Count | None], anew: Count) -> None:
    copies, ask = SentCopies(), lambda: counts[-1]
    counts.append(Count(7, 0, 0))
    first = copies.look("step 1", ask)
    counts.append(Count(7, 130, 1060))
    copies.look("step 1", ask)
    counts.append(anew)
    later = copies.look("step 1", ask)
    assert first is not None and later is not None and later.since > first.since
    assert later.now() == Count(anew.router, 0, 0)
