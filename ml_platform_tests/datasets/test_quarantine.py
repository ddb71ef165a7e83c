"""Rows set aside: exactly the bad ones, versioned with the batch, and never a way around a gate."""

import math
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from ml_platform.datasets import batches
from ml_platform.datasets.quarantine import REASONS, quarantine_path, quarantined, separate
from ml_platform.datasets.store import MAIN, VersionedStore
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import Corrupt, PlatformError, Refused
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import data, merge_hook
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef
from ml_platform.validation.schema import validate
from ml_platform_tests.delivered import Delivered

JANUARY, FEBRUARY = "2024-01-01", "2024-02-01"
GATES = [{"gate": "schema"}, {"gate": "rules", "max": 0}, {"gate": "duplicates", "max": 0}]


class Orders(pa.DataFrameModel):
    """One row per order."""

    number: int = pa.Field(ge=0)
    price: float = pa.Field(nullable=True)
    name: str = pa.Field(metadata={"pii": True})

    @pa.dataframe_check(name="cheap_is_small")
    def cheap_is_small(cls, data: Any) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("price") > 0).fill_null(True) | (pl.col("number") < 10))


delivery = Delivered()


def orders(*bad: dict[str, Any], rows: int = 200) -> pl.DataFrame:
    good = [{"number": number, "price": number / 2 + 1, "name": f"customer {number}"} for number in range(rows)]
    return pl.DataFrame(
        [*good[:50], *bad, *good[50:]], schema={"number": pl.Int64, "price": pl.Float64, "name": pl.String}
    )


NEGATIVE = {"number": -1, "price": 1.0, "name": "Ada"}
NAMELESS = {"number": 500, "price": 1.0, "name": None}
INFINITE = {"number": 501, "price": math.inf, "name": "Bob"}
FREE = {"number": 502, "price": -1.0, "name": "Cy"}


class Flow:
    """Ingest, judge and publish what is delivered."""

    def __init__(self, settings: Settings, store: VersionedStore | None = None, **declared: Any) -> None:
        self.workspace, self.run = Workspace(settings), Run.new()
        if store is not None:
            self.workspace.store = store
        self.spec = DatasetSpec.model_validate(
            {
                "name": "orders",
                "source": f"{__name__}:delivery",
                "schema": f"{__name__}:Orders",
                "partitions": {"every": "month", "start": JANUARY},
                "key": ["number"],
                "time": "number",
                "gates": GATES,
                **declared,
            }
        )

    def deliver(self, frame: pl.DataFrame, partition: str = JANUARY) -> tuple[DatasetRef, dict[str, Verdict]]:
        delivery.frames = {partition: frame}
        ref = data.ingest(self.workspace, self.spec, partition, self.run)
        return ref, {verdict.gate: verdict for verdict in data.audit(self.workspace, self.spec, ref, self.run)}

    def publish(self, frame: pl.DataFrame, partition: str = JANUARY) -> DatasetRef:
        return data.publish(self.workspace, self.spec, self.deliver(frame, partition)[0], self.run)

    def aside(self, ref: str) -> pl.DataFrame | None:
        return quarantined(self.workspace.store, ref, "orders", JANUARY)


@pytest.fixture
def flow(settings: Settings, any_store: VersionedStore) -> Flow:
    return Flow(settings, any_store, quarantine={"max": 0.05})


def test_bad_rows_are_set_aside_with_every_reason(flow: Flow) -> None:
    bad = {"number": -3, "price": math.nan, "name": None}
    ref, verdicts = flow.deliver(orders(NEGATIVE, INFINITE, FREE, bad))
    assert {gate: verdict.status for gate, verdict in verdicts.items()} == dict.fromkeys(
        ("schema", "rules", "duplicates", "quarantine"), "passed"
    )
    published = data.publish(flow.workspace, flow.spec, ref, flow.run)
    assert published.rows == 200
    assert_frame_equal(batches.read(flow.workspace.store, published), orders())
    aside = flow.aside(MAIN)
    assert aside is not None
    assert_frame_equal(aside.drop(REASONS), orders(NEGATIVE, INFINITE, FREE, bad)[50:54])
    number, finite = "number: greater_than_or_equal_to", "price: finite"
    assert [sorted(reasons) for reasons in aside[REASONS].to_list()] == [
        [number], [finite], ["cheap_is_small"], ["name: not_nullable", number, finite],
    ]  # fmt: skip
    assert verdicts["quarantine"].observed == pytest.approx(4 / 204)
    text = verdicts["quarantine"].model_dump_json()
    assert "4 of 204 rows were set aside" in text and number in text
    assert not any(name in text for name in ("Ada", "Bob", "Cy")), "names are pii"


def test_beyond_the_rate_the_batch_is_refused_and_nothing_is_published(flow: Flow) -> None:
    ref, verdicts = flow.deliver(orders(*(NEGATIVE | {"number": -number} for number in range(1, 12))))
    assert [gate for gate, verdict in verdicts.items() if not verdict.passed] == ["quarantine"]
    with pytest.raises(Refused, match=r"quarantine failed: 11 of 211 rows were set aside"):
        data.publish(flow.workspace, flow.spec, ref, flow.run)
    assert batches.published(flow.workspace.store, "orders") == {}
    aside = flow.aside(ref.branch)
    assert aside is not None and aside.height == 11, "the branch stays, to be looked at"


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (orders(NEGATIVE).drop("price"), "price"),
        (orders(NEGATIVE).with_columns(price=pl.lit("x")), "price"),
        (orders(NEGATIVE).with_columns(discount=pl.lit(0)), "discount"),
    ],
)
def test_a_broken_table_is_never_quarantined_away(flow: Flow, broken: pl.DataFrame, named: str) -> None:
    ref, verdicts = flow.deliver(broken)
    assert verdicts["schema"].status == "failed" and named in str(verdicts["schema"].details)
    assert verdicts["quarantine"].reason == "no row was set aside"
    assert ref.rows == broken.height
    with pytest.raises(Refused, match="schema failed"):
        data.publish(flow.workspace, flow.spec, ref, flow.run)


def test_without_a_declaration_bad_rows_stay_and_refuse_the_batch(settings: Settings) -> None:
    flow = Flow(settings)
    ref, verdicts = flow.deliver(orders(NEGATIVE))
    assert ref.rows == 201 and "quarantine" not in verdicts and verdicts["schema"].status == "failed"


def test_what_was_set_aside_is_part_of_the_identity(flow: Flow) -> None:
    store = flow.workspace.store
    clean, one, other = orders(), orders(NEGATIVE), orders(NAMELESS)
    first = flow.publish(one)
    assert flow.publish(one).commit == first.commit, "equal content makes no commit"
    second = flow.publish(other)
    assert len({first.sha256, second.sha256}) == 2, "the same good rows, other bad ones"
    third = flow.publish(clean)
    assert third.sha256 not in (first.sha256, second.sha256)
    assert flow.aside(MAIN) is None
    assert [info.path for info in store.list(MAIN)] == [third.path], "nothing is left beside the corrected batch"
    for ref, bad in ((first, one), (second, other)):
        aside = flow.aside(ref.commit)
        assert aside is not None
        assert_frame_equal(aside.drop(REASONS), bad[50:51])
    assert list(batches.published(store, "orders")) == [JANUARY]
    assert store.log(MAIN) and not store.branches("stage-")


def test_a_staged_batch_is_adopted_with_its_quarantine(flow: Flow) -> None:
    staged, _ = flow.deliver(orders(NEGATIVE))
    again, _ = flow.deliver(orders(NEGATIVE))
    assert again == staged
    other, _ = flow.deliver(orders(NAMELESS))
    assert (other.branch, other.commit != staged.commit) == (staged.branch, True)


def test_another_quarantine_beside_the_batch_is_noticed(flow: Flow, tmp_path: Path) -> None:
    store, ref = flow.workspace.store, flow.publish(orders(NEGATIVE))
    forged = tmp_path / "forged"
    write_frame(orders(), forged)
    store.create_branch("forged", ref.commit)
    commit = store.commit("forged", {quarantine_path("orders", JANUARY): forged}, "m")
    with pytest.raises(Corrupt, match="but the batch names"):
        quarantined(store, commit, "orders", JANUARY)


@pytest.mark.parametrize(
    ("staged", "beside"),
    [(orders(NEGATIVE), orders(NAMELESS)), (orders(NEGATIVE), None), (orders(), orders(NAMELESS))],
    ids=("replaced", "taken away", "put beside"),
)
def test_rows_that_were_set_aside_and_exchanged_after_the_judgement_are_not_published(
    flow: Flow, tmp_path: Path, staged: pl.DataFrame, beside: pl.DataFrame | None
) -> None:
    store, path, forged = flow.workspace.store, quarantine_path("orders", JANUARY), tmp_path / "forged"
    ref, _ = flow.deliver(staged)
    if beside is not None:
        write_frame(beside, forged)
    store.commit(ref.branch, {path: None if beside is None else forged}, "by another hand")
    with pytest.raises(Corrupt, match="but the batch names"):
        data.publish(flow.workspace, flow.spec, ref, flow.run)
    with pytest.raises(Refused, match="but the batch names"):
        merge_hook.require_verdicts(flow.workspace, {"orders": flow.spec}, ref.branch)
    assert batches.published(store, "orders") == {}
    again = data.ingest(flow.workspace, flow.spec, JANUARY, flow.run)
    data.audit(flow.workspace, flow.spec, again, flow.run)
    merge_hook.require_verdicts(flow.workspace, {"orders": flow.spec}, again.branch)
    assert data.publish(flow.workspace, flow.spec, again, flow.run).sha256 == ref.sha256, "staged again, it is"


def test_new_columns_are_accepted_where_that_is_declared(settings: Settings, any_store: VersionedStore) -> None:
    flow = Flow(settings, any_store, quarantine={"max": 0.05}, new_columns="accept")
    wider = orders(NEGATIVE).with_columns(colour=pl.lit("Ada red"))
    ref, verdicts = flow.deliver(wider)
    assert all(verdict.passed for verdict in verdicts.values()), verdicts
    assert "Ada" not in verdicts["quarantine"].model_dump_json(), "nobody said that the new column may be shown"
    data.publish(flow.workspace, flow.spec, ref, flow.run)
    _, kept = flow.deliver(wider, FEBRUARY)
    assert kept["schema"].passed
    narrow, verdicts = flow.deliver(orders(), FEBRUARY)
    assert verdicts["schema"].status == "failed"
    assert verdicts["schema"].reason == "colour vanished: the batch before has it"
    _, corrected = flow.deliver(orders(rows=199), JANUARY)
    assert corrected["schema"].passed, "January has no batch before it"
    with pytest.raises(Refused, match="colour vanished"):
        data.publish(flow.workspace, flow.spec, narrow, flow.run)


def test_declarations_that_cannot_work() -> None:
    with pytest.raises(ValidationError, match="declare that instead of the gate"):
        Flow(Settings(), gates=[{"gate": "quarantine", "max": 0.1}])
    with pytest.raises(ValidationError, match="less than 1"):
        Flow(Settings(), quarantine={"max": 1})
    with pytest.raises(PlatformError, match="has a column 'quarantine_reasons'"):
        separate(Orders, orders().with_columns(quarantine_reasons=pl.lit("x")))
    with pytest.raises(PlatformError, match="names below quarantine/ are taken"):
        batches.batch_path("orders", f"quarantine/{JANUARY}")


ROW = st.fixed_dictionaries(
    {
        "number": st.none() | st.integers(-2, 12),
        "price": st.none() | st.sampled_from([-1.0, 0.5, math.nan, math.inf]),
        "name": st.none() | st.just("n"),
    }
)


@settings_of(deadline=None, max_examples=40)
@given(rows=st.lists(ROW, max_size=8))
def test_good_rows_keep_every_rule_and_no_row_is_lost(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema={"number": pl.Int64, "price": pl.Float64, "name": pl.String})
    good, bad = separate(Orders, frame)
    assert good.height + bad.height == frame.height
    assert validate(Orders, good).broken == ()
    assert (bad[REASONS].list.len() > 0).all()
    for row in bad.drop(REASONS).iter_slices(1):
        assert validate(Orders, row).broken, "a good row was set aside"
    together = pl.concat([good, bad.drop(REASONS)])
    assert_frame_equal(together.sort(pl.all()), frame.sort(pl.all()))
