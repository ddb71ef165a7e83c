"""Gates on batches that the past of a new table proposes: later months pass, small errors in them do not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_platform.creating.history_gates import Candidate
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.proving.arrivals import Arrivals, Shared
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import trips

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT, CASH = "Picked up at", (pl.col("payment") == "cash").fill_null(False)
LATE = pl.int_range(pl.len()) >= pl.len() // 2
#: What somebody does to a month, and the gate of the new table that sees it.
ERRORS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "payments in cash are lost": (lambda rows: rows.filter(~CASH), "coverage_of_payment"),
    "rows come again under new keys": (
        lambda rows: pl.concat([rows, rows[::10].with_columns(pl.col("Trip ID") + " again")]),
        "near_duplicates",
    ),
    "thousands of feet in place of kilometres": (
        lambda rows: rows.with_columns(pl.col("Trip Distance (km)") * 3.28),
        "distribution_psi",
    ),
    "labels in cash turned round": (
        lambda rows: rows.with_columns(
            tipped=pl.when(CASH & (pl.col("tipped") == "no")).then(pl.lit("yes"))
            .when(CASH).then(pl.lit("no")).otherwise("tipped")
        ),
        "labels_change_of_payment",
    ),
    "all labels turned round": (
        lambda rows: rows.with_columns(pl.col("tipped").replace({"no": "yes", "yes": "no"})),
        "labels_change_of_payment",
    ),
    "nobody gave a tip": (lambda rows: rows.with_columns(tip=pl.col("tip") * 0), "distribution_of_outcomes"),
    "no label in cash": (
        lambda rows: rows.with_columns(tipped=pl.when(~CASH).then("tipped")),
        "labels_known_of_payment",
    ),
    "the outcome is inside an input": (
        lambda rows: rows.with_columns(pl.col("passengers") + (pl.col("tipped") == "yes").cast(pl.Int64) * 2),
        "association",
    ),
    "the district of a zone is another one's": (
        lambda rows: rows.with_columns(district=pl.when(LATE).then(pl.col("district").shift(1)).otherwise("district")),
        "dependency_of_zone",
    ),
    "a trip is lost after they were counted": (lambda rows: rows[1:], "counts_trips_of_the_day"),
}  # fmt: skip


def table() -> pl.DataFrame:
    """Trips with the district of each zone and the number of trips of the day: what a table says of itself."""
    frame = trips().filter(pl.col(AT).dt.month() <= 5)
    return frame.with_columns(
        ("d" + pl.col("Zone").str.slice(5, 2)).alias("district"),
        pl.len().over(pl.col(AT).dt.date()).alias("trips_of_the_day"),
    ).with_columns(pl.col("trips_of_the_day").cast(pl.Int64))


def context_of(mine: Mine) -> ModelContext:
    """What was declared."""
    data, features = mine.declared("trips")
    (model,) = mine.declared("trips_tipped")
    specs = DatasetSpec.model_validate(data), FeatureSpec.model_validate(features), ModelSpec.model_validate(model)
    return ModelContext.of(Catalogue.of(specs), "trips_tipped")


@pytest.fixture
def arriving(mine: Mine) -> Callable[..., Arrivals]:
    """The table of three months is declared; a later month arrives behind them."""
    whole = table()
    mine.new(mine.table(whole.filter(pl.col(AT).dt.month() <= 3), "data/trips.csv"), "tipped", every="month")
    context = context_of(mine)
    dated = whole.with_columns(day=pl.col(AT).dt.date())
    frames = {f"2023-{month:02d}-01": dated.filter(pl.col(AT).dt.month() == month) for month in range(1, 6)}
    return lambda month, shared=None: Arrivals(context, frames, f"2023-{month:02d}-01", NOW, shared=shared)


def test_small_errors_are_refused_and_later_months_are_not(arriving: Callable[..., Arrivals]) -> None:
    for month in (4, 5):
        clean = arriving(month)
        assert [one.reason for one in clean.clean.values() if not one.passed] == [], month
    april = arriving(4)
    whole = table().filter(pl.col(AT).dt.month() == 4).with_columns(day=pl.col(AT).dt.date())
    missed = {}
    for error, (change, gate) in ERRORS.items():
        held = {one.gate for one in april.holding(change(whole)) if one.status == "failed"}
        if gate not in held:
            missed[error] = held
    assert missed == {}


def test_what_partitions_share_changes_no_verdict(arriving: Callable[..., Arrivals]) -> None:
    shared = Shared()
    for month in (2, 3, 4, 5):
        alone, after = arriving(month).clean, arriving(month, shared).clean
        assert {name: (one.observed, one.status, one.reason) for name, one in alone.items()} == {
            name: (one.observed, one.status, one.reason) for name, one in after.items()
        }
    assert len(shared.good) == 5, "each partition is validated once"


@pytest.mark.parametrize(
    ("candidate", "seen", "threshold"),
    [
        # As far again as what was seen lies apart, and no nearer than the least.
        (Candidate({}, 0.1, 1.0), [0.1, 0.2, 0.3], 0.5),
        (Candidate({}, 0.5, 1.0), [0.1, 0.2, 0.3], 0.5),
        # Halfway to the error at most.
        (Candidate({}, 0.1, 1.0), [0.1, 0.2, 0.6], 0.8),
        # Of one value nobody knows how far it moves.
        (Candidate({}, 0.1, 1.0), [0.2], 0.6),
        # So near to the error that the gate would see nothing.
        (Candidate({}, 0.1, 1.0), [0.1, 0.8, 0.2], None),
        (Candidate({}, 0.01, 1.0, exact=True), [0.0], 0.01),
        (Candidate({}, 0.1, 0.0, "min"), [0.9, 0.8, 0.95], 0.4),
        (Candidate({}, 0.1, 0.0, "min"), [0.9, 0.05, 0.95], None),
    ],
)
def test_a_threshold_lies_between_what_was_seen_and_the_error(
    candidate: Candidate, seen: list[float], threshold: float | None
) -> None:
    assert candidate.threshold(seen) == (pytest.approx(threshold) if threshold is not None else None)


@pytest.mark.slow
def test_a_table_that_ends_in_the_middle_of_a_month_has_its_days_counted_all_the_same(mine: Mine) -> None:
    """The last month lacks days, which is what the gate is there for: it warns of that one, and names it."""
    frame = trips(20_000).filter(pl.col(AT) < datetime(2023, 4, 21))
    made = mine.new(mine.table(frame, "data/trips.csv"), "tipped", every="month")
    assert made.plan.unfinished == "2023-04-01"
    gates = mine.declared("trips")[0]["gates"]
    (gate,) = (one for one in gates if one["gate"] == "coverage" and one.get("every") == "day")
    assert gate["severity"] == "warn" and 0.5 <= gate["max"] < 1
    text = (mine.defs / "trips" / "defs.yaml").read_text()
    assert "seen; 2023-04-01 ends on 2023-04-20: block once it is whole" in text
    whole = mine.new(mine.table(frame.filter(pl.col(AT).dt.month() < 4), "data/whole.csv"), "tipped", every="month")
    assert whole.plan.unfinished == ""
    assert "severity: warn" not in (mine.defs / "whole" / "defs.yaml").read_text()


@pytest.mark.parametrize("delay", [0, 3, 10])
def test_outcomes_that_come_late_are_asked_for_by_no_gate_on_a_batch(mine: Mine, delay: int) -> None:
    """A later batch, sound and short, of which few outcomes are known yet, is refused by none of them."""
    whole = table().drop("tip", "trips_of_the_day", "district")
    first = whole.filter(pl.col(AT) < datetime(2023, 4, 1))

    def known(frame: pl.DataFrame, until: datetime) -> pl.DataFrame:
        there = pl.col(AT) < until - timedelta(days=delay)
        return frame.filter(pl.col(AT) < until).with_columns(tipped=pl.when(there).then("tipped"))

    made = mine.new(mine.table(known(first, datetime(2023, 4, 1)), "data/trips.csv"), "tipped", every="month")
    assert made.plan.label_delay == delay
    data, _ = mine.declared("trips")
    asking = {
        gate["gate"] for gate in data["gates"]
        if "tipped" in (*gate.get("columns", ()), gate.get("against")) or gate["gate"] == "labels"
    }  # fmt: skip
    assert bool(asking) == (delay == 0), asking
    if not delay:
        return
    later = known(whole, datetime(2023, 4, 12)).with_columns(day=pl.col(AT).dt.date())
    frames = {f"2023-{month:02d}-01": later.filter(pl.col(AT).dt.month() == month) for month in range(1, 5)}
    arrivals = Arrivals(context_of(mine), frames, "2023-04-01", datetime(2023, 4, 12, tzinfo=UTC))
    assert [one.reason for one in arrivals.clean.values() if not one.passed and one.gate != "volume"] == []
