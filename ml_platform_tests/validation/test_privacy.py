"""Values of columns marked ``pii`` stay out of what people read: samples, reports, packages."""

import json

import polars as pl
import pytest

from ml_platform.declarations.context import ModelContext
from ml_platform.defs.flights.features import FlightFeatures
from ml_platform.defs.flights.schema import Flights
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.gate import Gate, judge
from ml_platform.orchestration.metadata import verdict_metadata
from ml_platform.pipeline.evaluation import masked_groups, slices_of
from ml_platform.pipeline.release import without_private
from ml_platform.serving.schema import request_schema, rows_model, to_rows
from ml_platform_tests.project import JANUARY, MODEL, declared, sample_months

KEY = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]


class ByAeroplane(FlightFeatures):
    """Results by aeroplane, whose registration is marked ``pii``."""

    slices = (*FlightFeatures.slices, "tailnum")


by_aeroplane = ByAeroplane()


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return pl.read_parquet(sample_months(tmp_path_factory.mktemp("month"), [JANUARY], 500) / f"{JANUARY}.parquet")


def registrations(month: pl.DataFrame) -> list[str]:
    return month["tailnum"].drop_nulls().unique().to_list()


def test_samples_of_broken_rows_are_tables_without_them(month: pl.DataFrame) -> None:
    broken = pl.concat([month.with_columns(distance=pl.lit(-1, month.schema["distance"])), month.head(3)])
    evidence = BatchEvidence(lambda: broken, lambda: Flights, (*KEY, "tailnum"), {})
    gates = [Gate(gate="schema"), Gate(gate="duplicates", max=0), Gate(gate="rules", max=0)]
    verdicts = {one.gate: one for one in judge(gates, evidence, subject="0" * 64, subject_name="flights/batch")}
    assert verdicts["schema"].status == verdicts["duplicates"].status == "failed"
    told = json.dumps([one.model_dump(mode="json") for one in verdicts.values()])
    assert not [name for name in registrations(month) if name in told]
    samples = verdict_metadata(verdicts["schema"])["samples"]
    first = samples.records[0].data
    assert list(first)[:2] == ["broken rule", "distance"] and first["distance"] == -1
    repeated = verdict_metadata(verdicts["duplicates"])["samples"]
    assert {column.name for column in repeated.schema.columns} >= {*KEY, "tailnum"}
    assert {record.data["tailnum"] for record in repeated.records} == {"***"}


def test_groups_of_a_report_are_numbered(month: pl.DataFrame) -> None:
    path = f"{__name__}:by_aeroplane"
    context = ModelContext.of(declared(features={"function": path}), MODEL)
    assert "tailnum" in slices_of(context)
    holdout = by_aeroplane.rows(month)
    found = masked_groups(holdout, context)
    assert not set(found["tailnum"].drop_nulls()) & set(registrations(month))
    # The groups themselves stay: as many, as large, the largest first.
    assert found["tailnum"].n_unique() == month["tailnum"].n_unique()
    assert found["tailnum"].null_count() == month["tailnum"].null_count()
    sizes = found["tailnum"].drop_nulls().value_counts(sort=True)
    assert found.filter(pl.col("tailnum") == "*** 1").height == sizes["count"].max()
    assert found.drop("tailnum").equals(holdout.drop("tailnum"))


def test_the_example_row_in_a_package_is_nobodys(month: pl.DataFrame) -> None:
    function = FlightFeatures()
    request = request_schema(function, Flights)
    row = to_rows(request, month.drop_nulls("tailnum").select(function.inputs).head(1))[0]
    shown = without_private(request, row)
    assert shown["tailnum"] is None and row["tailnum"] is not None
    assert {name: shown[name] for name in shown if name != "tailnum"} == {
        k: v for k, v in row.items() if k != "tailnum"
    }
    rows_model(request).model_validate_json(json.dumps({"rows": [shown]}))
