"""Schema evidence on real months: silent on clean ones, exact on sabotaged ones."""

import pandera.polars as pa
import polars as pl
import pytest

from ml_platform.defs.flights.schema import Flights
from ml_platform.defs.flights.source import source
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json
from ml_platform.validation.evidence import BrokenRule, duplicate_count, missing_rates
from ml_platform.validation.schema import MASK, columns, key, mask, validate

ARRIVED = pl.col("arr_delay").is_not_null()
CANCELLED = pl.col("dep_time").is_null()
MEASURED = pl.all_horizontal(pl.col("temp", "dewp", "humid").is_not_null())


@pytest.fixture(scope="module")
def march() -> pl.DataFrame:
    return source.read("2013-03-01")


def broken(frame: pl.DataFrame) -> dict[tuple[str, str | None], BrokenRule]:
    return {(rule.name, rule.column): rule for rule in validate(Flights, frame).broken}


def spoil(frame: pl.DataFrame, where: pl.Expr, **values: object) -> tuple[pl.DataFrame, int]:
    """``frame`` with other values in every hundredth row that ``where`` holds for, and the number of those rows."""
    hit = frame.select(where & (where.cum_sum() % 100 == 1)).to_series()
    assert hit.sum() > 0
    changed = [
        pl.when(hit).then(value if isinstance(value, pl.Expr) else pl.lit(value)).otherwise(pl.col(name))
        .cast(frame.schema[name]).alias(name)
        for name, value in values.items()
    ]  # fmt: skip
    return frame.with_columns(changed), int(hit.sum())


@pytest.mark.parametrize("partition", sorted(source.partitions()))
def test_every_real_month_is_clean(partition: str) -> None:
    batch = source.read(partition)
    evidence = validate(Flights, batch)
    assert evidence.broken == ()
    assert (evidence.rows, evidence.fatal) == (batch.height, False)
    assert evidence.rate("schema") == evidence.rate("rule") == 0
    assert evidence.rules > 100
    assert duplicate_count(batch, key(Flights)) == (0, [])


RULES = {
    "date_agrees": (pl.lit(True), {"day": pl.col("day") % 28 + 1}),
    "instant_agrees": (pl.lit(True), {"time_hour": pl.col("time_hour") + pl.duration(hours=5)}),
    "scheduled_times_valid": (pl.lit(True), {"sched_arr_time": 1275}),
    "actual_times_valid": (ARRIVED, {"arr_time": 1499}),
    "departure_delay_agrees": (ARRIVED, {"dep_delay": pl.col("dep_delay") + 60}),
    "arrival_delay_agrees": (ARRIVED, {"arr_delay": pl.col("arr_delay") + 60}),
    "arrived_flights_complete": (ARRIVED, {"tailnum": None}),
    "cancelled_flights_empty": (CANCELLED, {"arr_delay": 5}),
    "speed_sane": (ARRIVED, {"air_time": 5}),
    "goes_somewhere": (pl.lit(True), {"dest": pl.col("origin")}),
    "humidity_agrees": (MEASURED, {"humid": (pl.col("humid") + 50) % 100}),
    "delay_of_arrivals_known": (ARRIVED, {"arr_delay": None}),
    "precipitation_in_hundredths": (pl.col("precip").is_not_null(), {"precip": 0.0254}),
}


def test_each_rule_of_the_example_has_a_sabotage() -> None:
    whole = {"temperature_of_the_season", *OF_THE_MONTH}
    assert {*RULES, *whole} == {str(check.name) for check in Flights.to_schema().checks or []}


def unknown(where: pl.Expr) -> pl.Expr:
    """Arrivals without a delay."""
    return pl.when(~where.fill_null(False)).then("arr_delay")


def one_aeroplane_an_hour(every: int) -> pl.Expr:
    """So many flights of an airport and hour are those of one aeroplane."""
    first = pl.col("tailnum").drop_nulls().first().over("origin", "time_hour")
    return pl.when(pl.int_range(pl.len()) % every == 0).then(first).otherwise("tailnum").alias("tailnum")


#: Rules on a month as a whole: a break, and what is near it and in order.
OF_THE_MONTH = {
    "ground_time": (pl.col("arr_time") + 9, pl.col("arr_time") + pl.int_range(pl.len()) % 2),
    "late_departures_arrive": (unknown(pl.col("dep_delay") > 120), unknown(pl.col("dep_delay") > 800)),
    "no_edge_at_late": (
        unknown((pl.col("arr_delay") > 15) & (pl.int_range(pl.len()) % 3 == 0)),
        unknown((pl.col("arr_delay") > 15) & (pl.int_range(pl.len()) % 30 == 0)),
    ),
    "aeroplane_at_one_place": (one_aeroplane_an_hour(3), one_aeroplane_an_hour(1000)),
    "visibility_of_the_airports": (pl.col("visib") / 2, pl.col("visib") - 0.01),
}


@pytest.mark.parametrize("rule", OF_THE_MONTH)
def test_a_rule_on_the_month_as_a_whole(rule: str, march: pl.DataFrame) -> None:
    bad, good = OF_THE_MONTH[rule]
    assert (rule, None) in broken(march.with_columns(bad)) and (rule, None) not in broken(march.with_columns(good))


@pytest.mark.parametrize(("shift", "breaks"), [(12, True), (-15, True), (2, False)])
def test_a_month_that_is_too_warm_or_too_cold_breaks_the_rule_of_the_season(
    shift: float, breaks: bool, march: pl.DataFrame
) -> None:
    found = broken(march.with_columns(pl.col("temp") + shift))
    assert (("temperature_of_the_season", None) in found) == breaks


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_named_and_counted(rule: str, march: pl.DataFrame) -> None:
    where, values = RULES[rule]
    frame, rows = spoil(march, _rowwise(where), **values)
    found = broken(frame)[rule, None]
    assert (found.kind, found.count, found.fatal) == ("rule", rows, False)
    assert found.rate == rows / march.height
    assert 0 < len(found.sample) <= 20


def _rowwise(where: pl.Expr) -> pl.Expr:
    """A condition with a value per row, where ``pl.lit(True)`` has one in all."""
    return where & pl.col("year").is_not_null()


COLUMNS = {
    ("greater_than", "distance"): {"distance": -5},
    ("isin", "carrier"): {"carrier": "ZZ"},
    ("isin", "origin"): {"origin": "SFO"},
    ("str_matches", "tailnum"): {"tailnum": "secret"},
    ("not_nullable", "flight"): {"flight": None},
    ("less_than_or_equal_to", "wind_speed"): {"wind_speed": 1048.4},
    ("finite", "temp"): {"temp": float("nan")},
    ("finite", "visib"): {"visib": float("inf")},
}


@pytest.mark.parametrize("rule", COLUMNS, ids=str)
def test_a_broken_column_is_named_and_counted(rule: tuple[str, str], march: pl.DataFrame) -> None:
    frame, rows = spoil(march, _rowwise(pl.lit(True)), **COLUMNS[rule])
    found = broken(frame)[rule]
    assert (found.kind, found.count, found.fatal) == ("schema", rows, False)
    assert set(found.sample[0]) == {*key(Flights), rule[1]}


@pytest.mark.parametrize(
    ("rule", "sabotage"),
    [
        (("column_in_dataframe", "air_time"), lambda frame: frame.drop("air_time")),
        (("column_in_schema", "note"), lambda frame: frame.with_columns(note=1)),
        (("dtype('Int64')", "distance"), lambda frame: frame.with_columns(pl.col("distance").cast(pl.Float64))),
        (("dtype('Int64')", "arr_delay"), lambda frame: frame.with_columns(pl.col("arr_delay").cast(pl.String))),
    ],
    ids=["without air_time", "with note", "distance as float", "arr_delay as text"],
)
def test_a_table_of_another_shape_is_fatal(rule, sabotage, march: pl.DataFrame) -> None:
    evidence = validate(Flights, sabotage(march))
    found = {(r.name, r.column): r for r in evidence.broken}[rule]
    assert (found.fatal, found.rate, found.kind) == (True, 1.0, "schema")
    assert evidence.fatal
    assert evidence.rate("schema") == 1.0


def test_a_check_that_crashes_is_fatal(march: pl.DataFrame) -> None:
    class Crashes(pa.DataFrameModel):
        distance: int

        @pa.dataframe_check(name="reads_what_is_not_there")
        def reads(cls, data) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col("nothing") > 0)

    evidence = validate(Crashes, march)
    (found,) = evidence.broken
    assert (found.name, found.kind, found.fatal) == ("reads_what_is_not_there", "rule", True)
    assert "nothing" in found.message


def test_counts_are_exact_whatever_is_collected(march: pl.DataFrame) -> None:
    frame = march.with_columns(distance=pl.lit(-5, dtype=pl.Int64))
    (found,) = [rule for rule in validate(Flights, frame, samples=3, max_cases=1).broken if rule.column == "distance"]
    assert (found.count, len(found.sample)) == (march.height, 3)
    assert all(check.n_failure_cases is None for check in Flights.to_schema().columns["distance"].checks)


def test_private_values_never_reach_the_evidence(march: pl.DataFrame) -> None:
    values = {"tailnum": "N-secret", "distance": -5, "date": pl.col("date").dt.offset_by("40d")}
    frame, _ = spoil(march, _rowwise(pl.lit(True)), **values)
    evidence = validate(Flights, frame)
    text = repr(evidence)
    assert {rule.name for rule in evidence.broken} >= {"str_matches", "greater_than", "date_agrees"}
    assert "N-secret" not in text
    assert MASK in text
    tails = {str(tail) for tail in march["tailnum"].drop_nulls().unique()}
    assert not [tail for tail in tails if tail in text]
    canonical_json([rule.sample for rule in evidence.broken])


def test_a_lazy_frame_is_refused(march: pl.DataFrame) -> None:
    with pytest.raises(PlatformError, match="collect it first"):
        validate(Flights, march.lazy())  # type: ignore[arg-type]


def test_columns_carry_their_metadata() -> None:
    found = {info.name: info for info in columns(Flights)}
    assert list(found) == source.read("2013-01-01").columns
    assert {name for name, info in found.items() if info.outcome} == {
        "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time",
    }  # fmt: skip
    assert {name for name, info in found.items() if info.pii} == {"tailnum"}
    assert all(info.description for info in found.values())
    assert (found["temp"].dtype, found["temp"].nullable, found["flight"].nullable) == ("Float64", True, False)


def test_unknown_metadata_and_missing_keys_are_refused() -> None:
    class Typo(pa.DataFrameModel):
        name: str = pa.Field(metadata={"PII": True})

    class Stray(pa.DataFrameModel):
        name: str

        class Config:
            metadata = {"key": ["nome"]}  # noqa: RUF012

    with pytest.raises(PlatformError, match=r"unknown metadata \['PII'\]"):
        columns(Typo)
    with pytest.raises(PlatformError, match="it has no key"):
        key(Typo)
    with pytest.raises(PlatformError, match=r"unknown columns \['nome'\]"):
        key(Stray)


def test_mask_keeps_what_is_missing(march: pl.DataFrame) -> None:
    masked = mask(march, Flights)
    assert masked["tailnum"].null_count() == march["tailnum"].null_count() > 0
    assert masked["tailnum"].drop_nulls().unique().to_list() == [MASK]
    assert masked.drop("tailnum").equals(march.drop("tailnum"))


def test_missing_rates_count_null_and_nan() -> None:
    frame = pl.DataFrame({"a": [1.0, None, float("nan"), 2.0], "b": ["x", None, "y", "z"], "c": [1, 2, 3, 4]})
    assert missing_rates(frame) == {"a": 0.5, "b": 0.25, "c": 0.0}
    with pytest.raises(PlatformError, match="without rows"):
        missing_rates(frame.clear())


def test_duplicates_count_the_rows_beyond_the_first(march: pl.DataFrame) -> None:
    extra, sample = duplicate_count(pl.concat([march, march.head(7), march.head(2)]), key(Flights))
    assert extra == 9
    assert sorted(row["rows"] for row in sample) == [2] * 5 + [3] * 2
    with pytest.raises(PlatformError, match="lacks the key columns"):
        duplicate_count(march.drop("flight"), key(Flights))
    with pytest.raises(PlatformError, match="no key declared"):
        duplicate_count(march, ())
