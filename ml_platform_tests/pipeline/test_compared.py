"""A batch is compared with what is published, or passed every gate: never with what merely lies on a staging branch."""

from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from ml_platform.datasets import batches, publishing
from ml_platform.datasets.store import MAIN
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import data
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef
from ml_platform_tests.delivered import Delivered

JANUARY, FEBRUARY, MARCH, APRIL = MONTHS = tuple(f"2024-{month:02d}-01" for month in range(1, 5))
GATES = [
    {"gate": "schema"},
    {"gate": "volume", "min": 0.5, "max": 2},
    {"gate": "distribution", "metric": "psi", "columns": ["price"], "max": 0.25},
]


class Orders(pa.DataFrameModel):
    """One row per order."""

    number: int
    price: float


till = Delivered()


def orders(month: str, factor: float = 1.0, rows: int = 400) -> pl.DataFrame:
    numbers = range(rows)
    prices = [(10 + number % 40 + MONTHS.index(month) / 100) * factor for number in numbers]
    return pl.DataFrame({"number": numbers, "price": prices})


class Flow:
    """Ingest, judge and publish what is delivered."""

    def __init__(self, settings: Settings, **declared: Any) -> None:
        self.workspace, self.run = Workspace(settings), Run.new()
        plain = {"name": "orders", "source": f"{__name__}:till", "schema": f"{__name__}:Orders", "key": ["number"]}
        months = {"every": "month", "start": JANUARY}
        self.spec = DatasetSpec.model_validate(
            {**plain, "partitions": months, "time": "number", "gates": GATES, **declared}
        )

    def stage(self, month: str, frame: pl.DataFrame) -> DatasetRef:
        till.frames = {month: frame}
        return data.ingest(self.workspace, self.spec, month, self.run)

    def judge(self, ref: DatasetRef) -> dict[str, Verdict]:
        return {verdict.gate: verdict for verdict in data.audit(self.workspace, self.spec, ref, self.run)}

    def deliver(self, month: str, frame: pl.DataFrame) -> dict[str, Verdict]:
        return self.judge(self.stage(month, frame))

    def publish(self, month: str, frame: pl.DataFrame) -> DatasetRef:
        ref = self.stage(month, frame)
        self.judge(ref)
        return data.publish(self.workspace, self.spec, ref, self.run)


@pytest.fixture
def flow(settings: Settings) -> Flow:
    """January to March are published."""
    flow = Flow(settings)
    for month in MONTHS[:3]:
        flow.publish(month, orders(month))
    return flow


def contents(flow: Flow, *months: str) -> dict[str, str]:
    published = batches.published(flow.workspace.store, "orders")
    return {month: published[month].sha256 for month in months}


@pytest.mark.parametrize("judged", [True, False], ids=["judged", "never judged"])
def test_a_refused_month_is_not_let_in_by_staging_broken_months_before_it(flow: Flow, judged: bool) -> None:
    broken = orders(APRIL, 1.9)
    first = flow.deliver(APRIL, broken)["distribution_psi"]
    assert first.status == "failed"
    for month in MONTHS[:3]:
        ref = flow.stage(month, orders(month, 1.9))
        if judged:
            verdict = flow.judge(ref)["distribution_psi"]
            assert verdict.passed is (month == JANUARY), "January has nothing before it"
    april = flow.stage(APRIL, broken)
    again = flow.judge(april)["distribution_psi"]
    assert (again.status, again.observed, again.compared) == ("failed", first.observed, first.compared)
    assert again.compared == contents(flow, *MONTHS[:3])
    with pytest.raises(Refused, match="distribution_psi failed"):
        data.publish(flow.workspace, flow.spec, april, flow.run)


def test_a_whole_month_passes_beside_broken_ones_that_are_only_staged(flow: Flow) -> None:
    for month in MONTHS[:3]:
        flow.deliver(month, orders(month, 1.9, rows=2000))
    verdicts = flow.deliver(APRIL, orders(APRIL))
    assert all(verdict.passed for verdict in verdicts.values())
    for gate in ("volume", "distribution_psi"):
        assert verdicts[gate].compared == contents(flow, *MONTHS[:3])


def test_months_of_one_run_are_compared_with_those_that_passed_before_them(settings: Settings) -> None:
    flow = Flow(settings)
    refs = {month: flow.stage(month, orders(month, 1.9 if month == MARCH else 1.0)) for month in MONTHS}
    verdicts = {month: flow.judge(ref) for month, ref in refs.items()}
    failed = {month for month, one in verdicts.items() if not all(verdict.passed for verdict in one.values())}
    assert failed == {MARCH}
    assert verdicts[JANUARY]["volume"].compared == {}
    assert verdicts[MARCH]["volume"].compared == {month: refs[month].sha256 for month in (JANUARY, FEBRUARY)}
    assert verdicts[APRIL]["distribution_psi"].compared == {month: refs[month].sha256 for month in (JANUARY, FEBRUARY)}


def test_what_passed_under_other_gates_and_waits_is_compared_with_nothing(settings: Settings) -> None:
    flow = Flow(settings)
    flow.deliver(JANUARY, orders(JANUARY))
    stricter = Flow(settings, gates=[*GATES, {"gate": "missing", "columns": ["price"], "max": 0}])
    assert stricter.deliver(FEBRUARY, orders(FEBRUARY))["volume"].compared == {}
    stricter.deliver(JANUARY, orders(JANUARY))
    assert stricter.deliver(FEBRUARY, orders(FEBRUARY))["volume"].compared.keys() == {JANUARY}


def test_a_month_that_another_run_publishes_meanwhile_is_read_all_the_same(settings: Settings) -> None:
    flow = Flow(settings)
    january, february = (flow.stage(month, orders(month)) for month in (JANUARY, FEBRUARY))
    flow.judge(january)
    earlier = data.compared_with(flow.workspace, flow.spec, february)
    assert earlier[JANUARY][0] != MAIN
    data.publish(flow.workspace, flow.spec, january, flow.run)
    flow.publish(JANUARY, orders(JANUARY, 1.01))
    rows = data.earlier_rows(flow.workspace, flow.spec, earlier, (JANUARY,), ("price",))
    assert rows.equals(orders(JANUARY).select("price"))


def test_columns_that_are_missed_are_those_of_what_the_batch_is_compared_with(settings: Settings) -> None:
    flow = Flow(settings, new_columns="accept")
    flow.publish(JANUARY, orders(JANUARY).with_columns(colour=pl.lit("red")))
    publishing.stage(
        flow.workspace.store, "orders", FEBRUARY, orders(FEBRUARY), run_id="x", provenance=flow.run.provenance
    )
    schema = flow.deliver(MARCH, orders(MARCH))["schema"]
    assert schema.reason == "colour vanished: the batch before has it"
    assert schema.compared == contents(flow, JANUARY)
