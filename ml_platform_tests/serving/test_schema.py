"""A request accepts exactly what training saw, and its refusals say where and why without repeating the input."""

import json
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_platform.foundation.errors import PlatformError
from ml_platform.serving.refusals import describe
from ml_platform.serving.schema import (
    FLOAT32_MAX,
    MAX_ROWS,
    RequestField,
    RequestSchema,
    columns_model,
    example_row,
    request_schema,
    row_model,
    rows_model,
    rows_to_frame,
    to_frame,
    to_rows,
)
from ml_platform_tests.serving.tiny import Column, Schema, Tiny

REQUEST = request_schema(Tiny(), Schema)
BODY = rows_model(REQUEST)
GOOD = {"day": "2024-04-01", "shop": "north", "amount": 2.5, "items": 3, "member": True}


def refusal(body: object) -> tuple[int, str]:
    with pytest.raises(ValidationError) as caught:
        BODY.model_validate_json(body if isinstance(body, str | bytes) else json.dumps(body))
    return describe(caught.value)


def test_fields_come_from_the_schema() -> None:
    assert REQUEST.names == Tiny.inputs
    assert {field.name: (field.type, field.dtype, field.nullable, field.pii) for field in REQUEST.fields} == {
        "day": ("date", "Date", False, False),
        "shop": ("str", "String", False, False),
        "amount": ("float", "Float64", True, False),
        "items": ("int", "Int16", False, False),
        "member": ("bool", "Boolean", False, True),
    }
    assert REQUEST.fields[1].allowed == ("north", "south", "west")
    assert RequestSchema.model_validate_json(REQUEST.model_dump_json()) == REQUEST


def test_a_pandera_schema_gives_the_same_request() -> None:
    import pandera.polars as pa

    schema = pa.DataFrameSchema(
        {
            "day": pa.Column(pl.Date),
            "shop": pa.Column(pl.String, pa.Check.isin(["north", "south", "west"])),
            "amount": pa.Column(pl.Float64, nullable=True),
            "items": pa.Column(pl.Int16, [pa.Check.ge(0), pa.Check.le(300)], description="Pieces in the basket."),
            "member": pa.Column(pl.Boolean, metadata={"pii": True}),
        }
    )
    assert request_schema(Tiny(), schema) == REQUEST


def test_what_the_source_adds_is_made_by_the_service_and_not_asked_for() -> None:
    class Stamped(Tiny):
        inputs = ("day", "row", "at", "items")
        key = ("row",)

    columns = {
        "day": Column(pl.Date),
        "row": Column(pl.String),
        "at": Column(pl.Datetime("us")),
        "items": Column(pl.Int16),
    }
    added = {"day": "at", "row": ""}
    request = request_schema(Stamped(), columns, added)
    body: Any = rows_model(request).model_validate_json('{"rows": [{"at": "2024-04-01T23:30:00", "items": 3}]}')
    raw = rows_to_frame(request, body.rows)
    assert raw.to_dicts() == [{"day": date(2024, 4, 1), "row": None, "at": datetime(2024, 4, 1, 23, 30), "items": 3}]
    assert raw.columns == [*Stamped.inputs]
    assert all(raw.schema[name] == request.types[name] for name in raw.columns)
    assert to_frame(request, {"at": [datetime(2024, 4, 1, 23, 30)], "items": [3]}).equals(raw)
    assert to_rows(request, raw) == [{"at": "2024-04-01T23:30:00", "items": 3}]
    rows_model(request).model_validate({"rows": [example_row(request, date(2024, 4, 1))]}, strict=False)
    with pytest.raises(ValidationError):
        row_model(request).model_validate_json('{"at": "2024-04-01T23:30:00", "items": 3, "row": "t.csv:1"}')

    class Daily(Stamped):
        inputs = ("day", "row", "items")

    asked = [field.name for field in request_schema(Daily(), columns, added).asked]
    assert asked == ["day", "items"], "a day that cannot be made is asked for"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"day": None}, "'day' of the feature function is not in the schema"),
        ({"amount": Column(pl.List(pl.Int64))}, "is List, which a request cannot carry"),
    ],
)
def test_a_schema_that_cannot_be_a_request_is_refused(columns: dict, message: str) -> None:
    changed = {name: column for name, column in {**Schema.columns, **columns}.items() if column is not None}
    with pytest.raises(PlatformError, match=message):
        request_schema(Tiny(), changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": "3"}, "rows[0].items: Input should be a valid integer"),
        ({"items": 3.0}, "rows[0].items: Input should be a valid integer"),
        ({"items": 40000}, "rows[0].items: Input should be less than or equal to 300"),
        ({"items": -5}, "rows[0].items: Input should be greater than or equal to 0"),
        ({"items": 301}, "rows[0].items: Input should be less than or equal to 300"),
        ({"items": True}, "rows[0].items: Input should be a valid integer"),
        ({"items": None}, "rows[0].items: no value, where every row has to have one; send it, or let the schema allow"),
        ({"shop": None}, "rows[0].shop: no value, where every row has to have one"),
        ({"day": None}, "rows[0].day: no value, where every row has to have one"),
        ({"amount": "2.5"}, "rows[0].amount: Input should be a valid number"),
        ({"amount": 1e39}, "rows[0].amount: Input should be less than or equal to"),
        ({"amount": float("nan")}, "rows[0].amount: Input should be a finite number"),
        ({"amount": float("-inf")}, "rows[0].amount: Input should be"),
        ({"member": 1}, "rows[0].member: Input should be a valid boolean"),
        ({"day": "tomorrow"}, "rows[0].day: Input should be a valid date"),
        ({"day": 1700000000}, "rows[0].day: Input should be a valid date"),
        ({"shop": "secret-value"}, "rows[0].shop: Input should be 'north', 'south' or 'west'"),
        ({"colour": "secret-value"}, "rows[0]: has a field that the request does not know: 'colour'"),
    ],
)
def test_one_defect_is_named_and_not_repeated(change: dict, message: str) -> None:
    status, text = refusal({"rows": [{**GOOD, **change}]})
    assert status == 422
    assert text.startswith(message)
    assert "secret-value" not in text


def test_the_envelope_is_checked() -> None:
    assert refusal({"rows": [{k: v for k, v in GOOD.items() if k != "day"}]}) == (
        422,
        "rows[0].day: Field required",
    )
    assert refusal("{")[0] == 400
    assert refusal("")[0] == 400
    assert refusal({"rows": []})[0] == 422
    assert refusal({"rows": [GOOD] * (MAX_ROWS + 1)})[0] == 422
    assert refusal({"rows": [GOOD], "other": 1}) == (422, "body: has a field that the request does not know: 'other'")
    # The name is the sender's: escaped and bounded.
    name = "é\n\x1b" + "x" * 10**5
    said = refusal({"rows": [{**GOOD, name: 1}]})[1]
    assert said == f"rows[0]: has a field that the request does not know: '\\xe9\\n\\x1b{'x' * 57}'"
    assert refusal([GOOD])[0] == 422
    assert len(refusal({"rows": [{**GOOD, "shop": "x" * 10**6}]})[1]) < 700


def test_null_where_the_schema_allows_it() -> None:
    body = BODY.model_validate_json(json.dumps({"rows": [{**GOOD, "amount": None}]}))
    assert body.rows[0].amount is None  # type: ignore[attr-defined]


def test_columns_must_be_equally_long() -> None:
    model = columns_model(REQUEST)
    columns = {name: [value, value] for name, value in GOOD.items()}
    body = model.model_validate_json(json.dumps({"columns": columns}))
    frame = to_frame(REQUEST, {n: getattr(body.columns, n) for n in REQUEST.names})  # type: ignore[attr-defined]
    assert frame.height == 2
    body = model.model_validate_json(json.dumps({"columns": {**columns, "items": [1]}}))
    with pytest.raises(PlatformError, match="not equally long"):
        to_frame(REQUEST, {n: getattr(body.columns, n) for n in REQUEST.names})  # type: ignore[attr-defined]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "day": st.dates(date(1, 1, 1), date(9999, 12, 31)),
            "shop": st.sampled_from(["north", "south", "west"]),
            "amount": st.none() | st.floats(-FLOAT32_MAX, FLOAT32_MAX),
            "items": st.integers(0, 300),
            "member": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


@given(rows=ROWS)
def test_a_frame_survives_the_way_over_json(rows: list[dict]) -> None:
    frame = pl.DataFrame(rows, schema={field.name: getattr(pl, field.dtype) for field in REQUEST.fields})
    text = json.dumps({"rows": to_rows(REQUEST, frame)}, allow_nan=False)
    body = BODY.model_validate_json(text)
    parsed = body.rows  # type: ignore[attr-defined]
    by_columns = to_frame(REQUEST, {n: [getattr(row, n) for row in parsed] for n in REQUEST.names})
    for back in (rows_to_frame(REQUEST, parsed), by_columns):
        assert back.equals(frame)
        assert back.schema == frame.schema


def test_every_kind_of_field_has_an_example_that_fits() -> None:
    kinds = {"Int8": "int", "UInt64": "int", "Float32": "float", "String": "str", "Boolean": "bool"}
    kinds |= {"Date": "date", "Datetime": "datetime"}
    fields = tuple(RequestField(name=d.lower(), type=k, dtype=d) for d, k in kinds.items())  # type: ignore[arg-type]
    schema = RequestSchema(fields=fields, time="date", key=("date",))
    row = row_model(schema).model_validate_json(json.dumps(example_row(schema, date(2024, 2, 29))))
    frame = to_frame(schema, {name: [getattr(row, name)] for name in schema.names})
    assert frame["date"].to_list() == [date(2024, 2, 29)]
    assert frame["datetime"].to_list() == [datetime(2024, 2, 29)]
    assert [str(dtype).partition("(")[0] for dtype in frame.dtypes] == list(kinds)


@pytest.mark.parametrize(("zone", "day"), [("Europe/Berlin", date(2024, 4, 1)), (None, date(2024, 3, 31))])
def test_a_time_with_an_offset_is_the_same_instant_in_a_row_and_in_columns(zone: str | None, day: date) -> None:
    class Timed(Tiny):
        inputs = ("at", "items")
        time, key = "at", ("at",)

    request = request_schema(Timed(), {"at": Column(pl.Datetime("us", zone)), "items": Column(pl.Int16)})
    sent = "2024-04-01T01:30:00+03:30"
    rows: Any = rows_model(request).model_validate_json(f'{{"rows": [{{"at": "{sent}", "items": 3}}]}}')
    body: Any = columns_model(request).model_validate_json(f'{{"columns": {{"at": ["{sent}"], "items": [3]}}}}')
    raw = rows_to_frame(request, rows.rows)
    assert raw.schema == {"at": pl.Datetime("us", zone), "items": pl.Int16}
    assert to_frame(request, {"at": body.columns.at, "items": body.columns.items}).equals(raw)
    assert raw["at"].dt.date().to_list() == [day] and raw["at"].dt.epoch("s").to_list() == [1711922400]
    again: Any = rows_model(request).model_validate_json(json.dumps({"rows": to_rows(request, raw)}))
    assert rows_to_frame(request, again.rows).equals(raw)
    rows_model(request).model_validate_json(json.dumps({"rows": [example_row(request, day)]}))
    if zone:
        with pytest.raises(ValidationError, match="timezone"):
            rows_model(request).model_validate_json('{"rows": [{"at": "2024-04-01T01:30:00", "items": 3}]}')


def _of(dtype: Any, *checks: Any) -> RequestSchema:
    import pandera.polars as pa

    column = pa.Column(dtype, list(checks), nullable=True)
    return request_schema(Tiny(), {**Schema.columns, "amount": column})


@given(
    st.sampled_from(["ge", "gt", "le", "lt", "in_range", "open"]),
    st.sampled_from([(pl.Float64, 0.5), (pl.Float64, 2), (pl.Int16, 3), (pl.Int64, -4)]),
    st.integers(-6, 6),
)
def test_a_request_refuses_what_a_batch_must_not_have(side: str, of: tuple[Any, float], value: int) -> None:
    """By the same checks: pandera's own verdict on a batch is that of the body, of columns and of a stream."""
    import pandera.polars as pa

    from ml_platform.serving.arrow import checked

    dtype, bound = of
    made = {
        "in_range": lambda: pa.Check.in_range(bound, bound + 2),
        "open": lambda: pa.Check.in_range(bound, bound + 2, include_min=False, include_max=False),
    }
    check = made[side]() if side in made else getattr(pa.Check, side)(bound)
    request = _of(dtype, check)
    given_value: Any = value if dtype.is_integer() else value / 2
    batch = pl.DataFrame({"amount": pl.Series([given_value, None], dtype=dtype)})
    try:
        pa.DataFrameSchema({"amount": pa.Column(dtype, [check], nullable=True)}).validate(batch)
        good = True
    except pa.errors.SchemaError:
        good = False
    row = {**GOOD, "amount": given_value}
    bodies: list[tuple[Any, Any]] = [
        (rows_model(request), {"rows": [GOOD | {"amount": None}, row]}),
        (columns_model(request), {"columns": {name: [one] for name, one in row.items()}}),
    ]
    for model, body in bodies:
        try:
            model.model_validate_json(json.dumps(body))
            accepted = True
        except ValidationError as error:
            accepted = False
            status, text = describe(error)
            assert status == 422 and "amount" in text and ("Input should be" in text or "no value" in text)
        assert accepted == good
    frame = to_frame(request, {name: [one] for name, one in (row | {"day": date(2024, 4, 1)}).items()})
    try:
        checked(request, frame)
        accepted = True
    except PlatformError as error:
        accepted = False
        assert str(error).startswith(("columns.amount[0]: Input should be ", "columns.amount: Input should be "))
    assert accepted == good
    example = example_row(_of(dtype, check).model_copy(), date(2024, 4, 1))
    assert example["amount"] is None


@given(
    st.sampled_from(["Int16", "Float64"]),
    st.tuples(st.sampled_from(["ge", "gt"]), st.integers(-400, 400)),
    st.tuples(st.sampled_from(["le", "lt"]), st.integers(3, 300)),
)
def test_an_example_keeps_the_bounds(dtype: str, low: tuple[str, int], width: tuple[str, int]) -> None:
    bounds: dict[str, Any] = {low[0]: low[1], width[0]: low[1] + width[1]}
    kind: Any = "int" if dtype == "Int16" else "float"
    schema = RequestSchema(fields=(RequestField(name="x", type=kind, dtype=dtype, **bounds),), time="", key=())
    row_model(schema).model_validate(example_row(schema, date(2024, 1, 1)))


def test_a_warning_forbids_nothing_and_words_tell_the_sides() -> None:
    import pandera.polars as pa

    assert _of(pl.Float64, pa.Check.ge(0, raise_warning=True)).fields[2].ge is None
    request = _of(pl.Float64, pa.Check.gt(0), pa.Check.lt(9), pa.Check.gt(2))
    assert (request.fields[2].gt, request.fields[2].lt) == (2, 9)
    assert request.fields[2].description == "By the schema more than 2 and less than 9"
