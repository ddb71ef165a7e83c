"""Features of one partition after the other, each from the state before it: what is read, what is built anew."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.datasets import publishing
from ml_platform.datasets.batches import published
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.store import NotFound, ObjectInfo
from ml_platform.features.contract import HistoricalMean
from ml_platform.features.growing import from_tables
from ml_platform.features.history import History
from ml_platform.features.materialize import Materializer
from ml_platform.features.stored_tables import BRANCH
from ml_platform.foundation.provenance import Provenance, Run
from ml_platform.references.refs import DatasetRef
from ml_platform.sources.partitions import Partitions

HERE = Provenance(code_commit="c" * 40, dirty=False, lock_sha256="d" * 64, python="3.11.7")
START = date(2024, 1, 1)
DAYS = Partitions(every="day", start=START)
Rows = dict[str, pl.DataFrame]


class Shops:
    """Past returns of a shop, of all days, of a week, and fading."""

    inputs = ("day", "shop")
    time = "day"
    key = ("day", "shop")
    columns = ("weekday",)
    labels = ("back",)
    slices = ()
    histories = (
        HistoricalMean("ever", of="back", by=("shop",), prior=2.0),
        HistoricalMean("week", of="back", by=("shop",), prior=2.0, window_days=7),
        HistoricalMean("fading", of="back", by=("shop",), prior=2.0, half_life_days=3.0),
    )

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("shop", weekday=pl.col("day").dt.weekday())

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("back")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select(pl.col("back").cast(pl.Int8))


class Noted:
    """A ledger's part: what was made here."""

    def __init__(self) -> None:
        self.made: dict[str, list[tuple[str, dict[str, str]]]] = {}

    def note(self, made: Mapping[str, tuple[str, Mapping[str, str]]], run: Run) -> None:
        for name, (sha256, labels) in made.items():
            self.made.setdefault(name, []).append((sha256, dict(labels)))

    def asked(self, names: Iterable[str]) -> "Noted":
        return self

    def named(self, name: str, sha256: str, labels: Mapping[str, str]) -> bool:
        return (sha256, dict(labels)) in self.made.get(name, [])

    def known(self, name: str, info: ObjectInfo, inputs: Mapping[str, str]) -> bool:
        return self.named(name, info.sha256, info.metadata)


class Place:
    """A store with published days, and features of them by a materializer of its own each time, as in a run."""

    def __init__(self, folder: Path, lag: int = 1, history: Any = from_tables) -> None:
        self.store, self.noted, self.lag, self.history = EmbeddedStore(folder, "repo"), Noted(), lag, history

    def publish(self, name: str, frame: pl.DataFrame) -> None:
        ref = publishing.stage(self.store, "orders", name, frame, run_id="r", provenance=HERE)
        publishing.publish(self.store, ref, run_id="r", ledger_head="h", provenance=HERE)

    def materializer(self, code: str = "1") -> Materializer:
        return Materializer(
            self.store,
            key="orders/features",
            dataset="orders",
            partitions=DAYS,
            published=lambda: published(self.store, "orders"),
            lag=self.lag,
            function=Shops,
            codes=lambda: [code],
            refused=list,
            history=self.history,
            made=self.noted.asked,
            note=self.noted.note,
        )

    def build(self, *names: str, code: str = "1") -> dict[str, str]:
        """sha256 of the features of each day."""
        there = published(self.store, "orders")
        refs = {
            name: DatasetRef(
                run_id="r", provenance=HERE, dataset="orders", partition=name, branch="main", commit="", path="",
                sha256=there[name].sha256, rows=1,
            )
            for name in names
        }  # fmt: skip
        made = self.materializer(code).materialize(refs, Run(id="r", provenance=HERE))
        return {name: ref.sha256 for name, ref in made.items()}


def name(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


def orders(number: int, shift: int = 0) -> pl.DataFrame:
    day = START + timedelta(days=number)
    rows = [
        (day, f"shop {shop}", (number * shop + order) % 3 == 0 or order < shift)
        for shop in range(4)
        for order in range(3)
    ]
    return pl.DataFrame(rows, schema={"day": pl.Date, "shop": pl.String, "back": pl.Boolean}, orient="row")


class Whole(History):
    """A step of one's own: it is given the tables of all days."""


def whole(*given: Any) -> History:
    return Whole.from_tables(*given)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Derived objects of the past that were read since this was asked last."""
    paths: list[str] = []
    real = EmbeddedStore.local_path

    def noted(self: EmbeddedStore, ref: str, path: str) -> Path:
        paths.append(path)
        return real(self, ref, path)

    monkeypatch.setattr(EmbeddedStore, "local_path", noted)

    def taken() -> list[str]:
        found = [path.removeprefix("features/orders/features/") for path in paths if path.startswith("features/")]
        paths.clear()
        return found

    return taken


@pytest.mark.parametrize("days", [3, 10])
@pytest.mark.parametrize("lag", [1, 4])
def test_one_state_is_read_for_a_new_day_however_many_there_were(
    tmp_path: Path, reads: Callable[[], list[str]], days: int, lag: int
) -> None:
    place = Place(tmp_path / "store", lag)
    for number in range(days):
        place.publish(name(number), orders(number))
    many = place.build(*map(name, range(days)))
    reads()
    place.publish(name(days), orders(days))
    one = place.build(name(days))
    assert reads() == [f"state/{name(days - 1)}.parquet"]
    # By a run for each, by one over the whole and without a state: the same bytes.
    again, alone = Place(tmp_path / "again", lag, whole), Place(tmp_path / "alone", lag)
    for number in range(days + 1):
        again.publish(name(number), orders(number))
        alone.publish(name(number), orders(number))
        assert alone.build(name(number))[name(number)] == (many | one)[name(number)]
    assert again.build(*map(name, range(days + 1))) == many | one
    with pytest.raises(NotFound):
        again.store.stat(BRANCH, f"features/orders/features/state/{name(days)}.parquet")


def test_a_correction_rebuilds_from_its_day_on(tmp_path: Path, reads: Callable[[], list[str]]) -> None:
    place, other = Place(tmp_path / "store"), Place(tmp_path / "other")
    for number in range(8):
        place.publish(name(number), orders(number))
        other.publish(name(number), orders(number, 1 if number == 5 else 0))
    before = place.build(*map(name, range(8)))
    corrected = other.build(*map(name, range(8)))
    place.publish(name(5), orders(5, 1))
    reads()
    after = {day: place.build(day)[day] for day in map(name, range(8))}
    assert after == corrected
    assert [day for day in before if after[day] != before[day]] == [name(5), name(6), name(7)]
    # Each from the state of the day before it: the first from one that the correction left alone.
    # Sums of a day that is as it was are read, not made.
    wanted = [("state", 4), ("state", 5), ("history", 6), ("state", 6), ("history", 7)]
    assert reads() == [f"{what}/{name(number)}.parquet" for what, number in wanted]


def test_without_states_of_an_earlier_release_daily_sums_are_read_once(
    tmp_path: Path, reads: Callable[[], list[str]]
) -> None:
    place = Place(tmp_path / "store")
    for number in range(6):
        place.publish(name(number), orders(number))
    made = place.build(*map(name, range(5)))
    # An earlier release made no states.
    place.noted.made = {one: said for one, said in place.noted.made.items() if "/state/" not in one}
    reads()
    made |= place.build(name(5))
    assert reads() == [f"history/{name(number)}.parquet" for number in range(5)]
    place.publish(name(6), orders(6))
    made |= place.build(name(6))
    assert reads() == [f"state/{name(5)}.parquet"]
    alone = Place(tmp_path / "alone", history=whole)
    for number in range(7):
        alone.publish(name(number), orders(number))
    assert alone.build(*map(name, range(7))) == made


def test_rows_of_another_day_see_what_they_saw(tmp_path: Path) -> None:
    place, alone = Place(tmp_path / "store"), Place(tmp_path / "alone", history=whole)
    late = pl.concat([orders(4), orders(1, 2)[:1].with_columns(day=START - timedelta(days=2))])
    for one in (place, alone):
        for number in range(6):
            one.publish(name(number), late if number == 4 else orders(number))
    assert place.build(*map(name, range(6))) == alone.build(*map(name, range(6)))


def test_other_code_goes_on_from_no_state(tmp_path: Path, reads: Callable[[], list[str]]) -> None:
    place = Place(tmp_path / "store")
    for number in range(3):
        place.publish(name(number), orders(number))
    place.build(*map(name, range(3)))
    reads()
    place.build(name(2), code="2")
    assert reads() == []
