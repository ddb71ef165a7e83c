"""A wall clock that is set back is seen in the chain; clocks that differ a little, and an injected time, are not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_platform.ledger import verified
from ml_platform.ledger.itself import backdated
from ml_platform.ledger.ledger import Broken, Ledger
from ml_platform_tests.ledger.writing import MARCH, rehashed, replace_rows, rows_of, verdict, write

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ledger]:
    """A ledger with an entry at each of these distances from noon."""

    def make(*minutes: float) -> Ledger:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        for number, minute in enumerate(minutes):
            now = NOON + timedelta(minutes=minute)
            monkeypatch.setattr("ml_platform.ledger.writing.now_utc", lambda now=now: now)
            write(ledger, verdict(name=f"{MARCH}{number}"))
        return ledger

    return make


def test_entries_dated_before_earlier_ones_are_named_once(written: Callable[..., Ledger]) -> None:
    ledger = written(0, 1, -80_000, -79_999, 2, 60, 3)
    assert ledger.verify() == 7
    assert backdated(ledger) == [
        "entries 3 to 4 are dated from 2026-10-05T22:40:00Z on, after entry 2 of 2026-11-30T12:01:00Z: the clock was "
        "set back, or ahead before; they count from there",
        "entry 7 is dated 2026-11-30T12:03:00Z, after entry 6 of 2026-11-30T13:00:00Z: the clock was set back, or "
        "ahead before; it counts from there",
    ]


def test_small_steps_back_add_up(written: Callable[..., Ledger]) -> None:
    (said,) = backdated(written(*(-4 * number for number in range(10))))
    assert said.startswith("entries 4 to 10 are dated from 2026-11-30T11:24:00Z on, after entry 1 of ")


def test_clocks_of_machines_may_differ_by_some_minutes(written: Callable[..., Ledger]) -> None:
    ledger = written(0, -9, 1, -8)
    assert backdated(ledger) == []
    assert [ledger.chain().times.since(entry.sequence, entry.at) for entry in ledger.entries()] == [
        NOON, NOON, NOON + timedelta(minutes=1), NOON + timedelta(minutes=1)
    ]  # fmt: skip


def test_an_injected_time_dates_no_entry(tmp_path: Path) -> None:
    moments = iter((NOON, NOON - timedelta(days=900), NOON + timedelta(days=900)))
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=lambda: next(moments))
    for number in range(3):
        write(ledger, verdict(name=f"{MARCH}{number}", status="failed"))
        ledger.with_overrides([verdict(name=f"{MARCH}{number}", status="failed")])
    assert next(moments, None) is None and backdated(ledger) == []


def test_another_zone_hides_nothing_and_what_is_no_time_is_damage(
    written: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    written(0, 1)
    rows = rows_of(path)
    for at, ends in (("2026-12-01T05:00:00+23:00", None), ("tomorrow", "entry 2 was changed")):
        replace_rows(path, rehashed([rows[0], {**rows[1], "at": at}]))
        monkeypatch.setattr(verified, "_verified", {})
        ledger = Ledger(f"sqlite:///{path}")
        if ends is None:
            assert backdated(ledger)[0].startswith("entry 2 is dated 2026-11-30T06:00:00Z, after entry 1 of ")
        else:
            with pytest.raises(Broken, match=ends):
                backdated(ledger)
