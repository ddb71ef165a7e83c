"""Features as expressions in ``defs.yaml``: the same plan, the same bits as a function in Python, batch or row."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_platform.declarations.features import FeatureSpec
from ml_platform.features.build import bits, build, featurize, matrix
from ml_platform.features.code import feature_code_version
from ml_platform.features.contract import FeatureFunction, HistoricalMean, feature_names, load_function
from ml_platform.features.daily import daily
from ml_platform.features.dry_run import broken
from ml_platform.features.history import History
from ml_platform_tests.shop_project import FEATURES, JANUARY, declared, new_project

DECLARED: dict[str, Any] = {
    "key": ["id"],
    "time": "day",
    "features": {
        "double": "amount * 2",
        "is_cash": "payment = 'cash'",
        "large": "case when amount > 3 then 1 when amount is not null then 0 end",
        "weekday": "extract(isodow from day)",
    },
    "labels": {"late": "minutes > 15", "minutes": "minutes"},
    "past": {"past_late": {"of": "late", "by": ["shop"], "prior": 2}},
    "slices": ["payment"],
}


class Written:
    """The same by hand."""

    inputs = ("id", "day", "amount", "payment", "shop")
    time = "day"
    key = ("id",)
    columns = ("double", "is_cash", "large", "weekday")
    histories = (HistoricalMean("past_late", of="late", by=("shop",), prior=2.0),)
    labels = ("late", "minutes")
    slices = ("payment",)

    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:
        amount = pl.col("amount")
        return raw.with_columns(
            double=amount * 2,
            is_cash=pl.col("payment") == "cash",
            large=pl.when(amount > 3).then(1).when(amount.is_not_null()).then(0),
            weekday=pl.col("day").dt.weekday(),
        )

    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select(late=(pl.col("minutes") > 15).cast(pl.Int8))

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("minutes", late=(pl.col("minutes") > 15).cast(pl.Int8))


def spec(**changes: Any) -> FeatureSpec:
    return FeatureSpec.model_validate({"dataset": "sales", "expressions": {**DECLARED, **changes}})


def raw(rows: int = 60) -> pl.DataFrame:
    random = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "id": range(rows),
            "day": [date(2024, 1, 1) + timedelta(days=row // 6) for row in range(rows)],
            "amount": [None if row % 7 == 0 else float(random.integers(0, 8)) for row in range(rows)],
            "payment": random.choice(["cash", "card"], rows),
            "shop": random.choice(["a", "b"], rows),
            "minutes": [None if row % 11 == 0 else int(random.integers(0, 40)) for row in range(rows)],
        }
    )


def test_the_same_bits_as_a_function_and_for_each_row_alone() -> None:
    by_hand: Any = Written()
    function, frame = spec().load_function(), raw()
    assert isinstance(function, FeatureFunction)
    assert (function.inputs, feature_names(function)) == (by_hand.inputs, feature_names(by_hand))
    built = []
    for one in (function, by_hand):
        history = History.from_tables(one, [daily(one, frame)], 1)
        built.append(build(one, frame, history))
        whole = matrix(built[-1], feature_names(one))
        assert (bits(featurize(one, frame, history)) == bits(whole)).all()
        for row in range(0, frame.height, 7):
            assert (bits(featurize(one, frame[row : row + 1], history)) == bits(whole[row : row + 1])).all()
    assert built[0].select(built[1].columns).equals(built[1], null_equal=True)


def test_the_function_is_loaded_by_its_path_and_its_version_is_what_it_says() -> None:
    one, other = spec(), spec(features={**DECLARED["features"], "double": "amount * 3"})
    assert load_function(one.function) is one.load_function()
    assert one.code_version() == feature_code_version(spec().function) != other.code_version()
    assert FeatureSpec.model_validate(one.model_dump()) == one


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": {"a": "amount +"}}, "a: 'amount +' is no expression of SQL"),
        ({"features": {"a": "select 1"}}, "a: 'select 1' is no expression of SQL"),
        ({"features": {"a": "1"}}, "a: '1' reads no column"),
        ({"past": {"p": {"of": "late", "by": []}}}, "at least 1 item"),
        ({"past": {"p": {"of": "lat", "by": ["shop"]}}}, "past.p: 'lat' is no label; average one of late, minutes"),
        ({"feature": {}}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_no_expression_is_a_mistake(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as told:
        spec(**changes)
    assert reason in str(told.value)


def test_one_way_has_to_be_declared() -> None:
    with pytest.raises(ValidationError, match="name a module:object, or declare expressions"):
        FeatureSpec.model_validate({"dataset": "sales"})
    with pytest.raises(ValidationError, match="there are expressions too; declare one of them"):
        FeatureSpec.model_validate({"dataset": "sales", "function": "a:b", "expressions": DECLARED})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"key": ["id", "id"]}, "'id' is a key twice; take one of them off"),
        ({"slices": ["payment", "payment"]}, "'payment' is a slice twice; take one of them off"),
        ({"features": {"id": "amount"}}, "'id' is a key and a feature; give one of them another name"),
        ({"features": {"day": "extract(isodow from day)"}}, "'day' is the time and a feature; give one"),
        ({"features": {"late": "amount"}}, "'late' is a feature and a label; give one of them another name"),
        ({"labels": {**DECLARED["labels"], "id": "minutes"}}, "'id' is a key and a label; give one"),
        ({"labels": {**DECLARED["labels"], "day": "minutes"}}, "'day' is the time and a label; give one of them"),
        ({"past": {"double": {"of": "late", "by": ["shop"]}}}, "'double' is a feature twice; take one of them off"),
    ],
)
def test_a_name_that_stands_twice_is_told_in_one_line(changes: dict[str, Any], told: str) -> None:
    (line,) = broken(spec(**changes).load_function(), raw())
    assert line.startswith(told)


def test_a_time_that_is_part_of_the_key_and_a_slice_is_one_column() -> None:
    assert list(broken(spec(key=["id", "day"], slices=["day", "payment"]).load_function(), raw())) == []


@pytest.mark.parametrize("beyond", ["amount - avg(amount)", "rank() over (order by amount)", "sum(amount)"])
def test_a_feature_of_more_than_its_row_is_told(beyond: str) -> None:
    frame = raw()
    assert list(broken(spec().load_function(), frame)) == []
    (told,) = broken(spec(features={"alone": "amount", "beyond": beyond}).load_function(), frame)
    assert told == "feature 'beyond' of a row depends on the rows beside it: in a service it would be another"


def test_expressions_pass_the_gates_of_features(tmp_path: Path) -> None:
    expressions = {
        "key": ["order_id", "line"],
        "time": "day",
        "features": {"value": "price * quantity", "weekday": "extract(isodow from day)", "online": "channel = 'web'"},
        "labels": {"returned": "returned"},
        "past": {"past_returned": {"of": "returned", "by": ["product"], "prior": 20}},
        "slices": ["channel"],
    }
    project = new_project(
        tmp_path / "project",
        declared(features={"function": "", "expressions": expressions}, models={}),
        arrived=(JANUARY,),
    )
    outcome = project.ingest(JANUARY)
    assert outcome.success, outcome.error
    verdicts = project.verdicts(f"{FEATURES}/{JANUARY}")
    assert {name: verdict.status for name, verdict in verdicts.items()} == dict.fromkeys(verdicts, "passed")
    assert {"parity", "leakage", "ranges"} <= set(verdicts)


def test_categories_get_a_feature_each_and_an_unseen_value_none() -> None:
    function = spec(categories={"payment": ["cash", "Gift Card"], "store": [7]}).load_function()
    assert function.columns[-3:] == ("payment_cash", "payment_gift_card", "store_7")
    assert function.inputs == ("id", "day", "amount", "payment", "store", "shop")
    frame = raw(5).with_columns(
        payment=pl.Series(["cash", "Gift Card", "bitcoin", None, "cash"]), store=pl.Series([7, 8, None, 7, 7])
    )
    history = History.from_tables(function, [daily(function, frame)], 1)
    built = build(function, frame, history)
    assert built["payment_cash"].to_list() == [1, 0, 0, None, 1], "what is missing stays missing"
    assert built["payment_gift_card"].to_list() == [0, 1, 0, None, 0]
    assert built["store_7"].to_list() == [1, 0, None, 1, 1]
    batch = matrix(built, feature_names(function))
    for row in range(frame.height):
        alone = featurize(function, frame[row].select(function.inputs), history)
        assert np.array_equal(bits(alone[0]), bits(batch[row])), "in a service as in a batch"
    assert list(broken(function, frame)) == []


def test_without_categories_the_name_of_the_function_is_as_it_was() -> None:
    assert "categories" not in spec().function and "categories" in spec(categories={"payment": ["cash"]}).function


@pytest.mark.parametrize(
    ("categories", "reason"),
    [
        ({"payment": [*range(51)]}, "categories.payment: 51 values are more than 50; take past: {past_by_payment:"),
        ({"payment": ["Cash", "cash"]}, "categories.payment: 'payment_cash' is there already"),
        ({"is": ["cash"]}, "categories.is: 'is_cash' is there already; give another one another name"),
        ({"payment": []}, "at least 1 item"),
    ],
)
def test_categories_that_cannot_be_are_told(categories: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as told:
        spec(categories=categories)
    assert reason in str(told.value)
