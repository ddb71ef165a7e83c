"""An override lets exactly one content pass exactly one gate, for a time, and never looks like a pass."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.gates.gate import Gate
from ml_platform.ledger import reliance, writing
from ml_platform.ledger.ledger import Ledger
from ml_platform_tests.ledger.writing import CONTEXT, HERE, ONE, ROWS, RULES, TWO, verdict, write

NAME = "flights/batch/2013-03-01"


class Clock:
    """A clock that the test turns."""

    now = datetime(2013, 4, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    found = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", actor="ada", clock=clock)
    found.record([verdict(status="failed"), verdict(ROWS)], run_id="run", provenance=HERE)
    return found


def let_pass(ledger: Ledger, days: int = 3, gate: str = "rules", **texts: str) -> datetime:
    chosen = ledger.verdicts(ONE)[gate]
    words = {"by": "ann", "reason": "known fault of the source", **texts}
    return ledger.override(chosen, **words, days=days, run_id="run", provenance=HERE)


def test_it_lets_the_content_pass_until_it_expires(ledger: Ledger, clock: Clock) -> None:
    with pytest.raises(Refused, match="rules failed"):
        ledger.require(ONE, [RULES, ROWS], subject_name=NAME)
    assert list(ledger.refused("flights/batch/")) == [NAME]
    assert let_pass(ledger) == clock.now + timedelta(days=3)

    rules, rows = ledger.require(ONE, [RULES, ROWS], subject_name=NAME)
    assert not rules.passed and not rules.holds_back and rules.status == "failed"
    assert rules.shown == "overridden" and rows.shown == "passed"
    assert rules.reason == f"overridden by ann until 2013-04-04T00:00Z: known fault of the source ({verdict().reason})"
    assert not ledger.refused("flights/batch/")

    clock.now += timedelta(days=3)
    with pytest.raises(Refused, match="rules failed: because"):
        ledger.require(ONE, [RULES], subject_name=NAME)
    assert list(ledger.refused("flights/batch/")) == [NAME]
    assert ledger.verify() == 3


def test_it_is_about_one_content_one_gate_and_one_declaration(ledger: Ledger) -> None:
    other = [verdict(subject=TWO, status="failed"), verdict(ROWS, subject=TWO, status="failed")]
    ledger.record(other, run_id="run", provenance=HERE)
    let_pass(ledger)
    for subject, gate in ((TWO, RULES), (TWO, ROWS)):
        with pytest.raises(Refused):
            ledger.require(subject, [gate], subject_name=NAME)
    stricter = Gate(gate="rules", max=0, min_support=5).within(CONTEXT)
    with pytest.raises(Refused, match="another declaration"):
        ledger.require(ONE, [stricter], subject_name=NAME)
    ledger.record([verdict(stricter, status="failed")], run_id="run", provenance=HERE)
    with pytest.raises(Refused, match="rules failed"):
        ledger.require(ONE, [stricter], subject_name=NAME)


def test_judging_again_neither_ends_it_nor_repeats_the_verdict(ledger: Ledger) -> None:
    let_pass(ledger)
    marked = ledger.with_overrides([verdict(status="failed")])
    assert marked[0].override
    assert ledger.record(marked, run_id="again", provenance=HERE) == 0
    assert "override" not in ledger.entries(kind="verdict")[0].body
    assert ledger.require(ONE, [RULES], subject_name=NAME)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"by": " "}, "give a name and a reason"),
        ({"reason": ""}, "give a name and a reason"),
        ({"days": 0}, "for a day at least"),
        ({"gate": "duplicates"}, "holds nothing back"),
    ],
)
def test_what_cannot_be_meant_is_refused(ledger: Ledger, chosen: dict, reason: str) -> None:
    with pytest.raises(PlatformError, match=reason):
        let_pass(ledger, **chosen)
    assert not ledger.entries(kind="override")


def test_a_missing_verdict_cannot_be_overridden(ledger: Ledger) -> None:
    let_pass(ledger)
    with pytest.raises(Refused, match="volume missing"):
        ledger.require(ONE, [RULES, Gate(gate="volume", min=0.5, max=2).within(CONTEXT)], subject_name=NAME)


def test_a_wall_clock_that_is_set_back_prolongs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries say when they were written: it is not before the newest of them."""
    turned = Clock()
    turned.now = datetime.now(UTC)
    for module in (writing, reliance):
        monkeypatch.setattr(module, "now_utc", turned)
    found = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=turned)
    write(found, verdict(status="failed"))
    let_pass(found)
    begun = turned.now

    def passes() -> bool:
        return not found.verdicts(ONE)["rules"].holds_back

    assert passes()
    turned.now = begun + timedelta(days=10)
    assert not passes()
    write(found, verdict(ROWS))
    turned.now = begun
    assert not passes(), "the clock was set back"
    write(found, verdict(ROWS, subject=TWO))
    assert not passes(), "and something was written by it"
