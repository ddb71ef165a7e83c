"""Batches as Arrow streams: answered as those in JSON, and refused in one line before they can do harm."""

import io
import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.serving import checks
from ml_platform.serving.arrow import ARROW_TYPE, NoStream, checked, to_frame, to_stream
from ml_platform.serving.client import Client, RequestRefused
from ml_platform.serving.refusals import BadValue
from ml_platform.serving.schema import MAX_COLUMN_ROWS, RequestField, RequestSchema
from ml_platform_tests.serving.conftest import UNTIL, Inputs, make_raw
from ml_platform_tests.serving.tiny import Tiny

SCHEMA = RequestSchema(
    fields=(
        RequestField(name="day", type="date", dtype="Date", made_from="at"),
        RequestField(name="shop", type="str", dtype="String", allowed=("north", "south"), nullable=True),
        RequestField(name="name", type="str", dtype="String"),
        RequestField(name="amount", type="float", dtype="Float64", nullable=True),
        RequestField(name="items", type="int", dtype="Int16"),
        RequestField(name="member", type="bool", dtype="Boolean"),
        RequestField(name="at", type="datetime", dtype="Datetime"),
        RequestField(name="there", type="datetime", dtype="Datetime@Europe/Berlin"),
    ),
    time="day",
    key=("day", "name"),
)
NOON = datetime(2024, 1, 1, 12)
GOOD = pl.DataFrame(
    {
        "shop": ["north", None] * 5,
        "name": ["Ümit"] * 10,
        "amount": [1.0, None] * 5,
        "items": pl.Series([3] * 10, dtype=pl.Int64),
        "member": [True, False] * 5,
        "at": [NOON] * 10,
        "there": pl.Series([NOON.replace(tzinfo=UTC)] * 10),
    }
)


def stream(frame: pl.DataFrame, **options: object) -> bytes:
    table, out = frame.to_arrow(), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=max(4, frame.height // 3))
    return out.getvalue()


def polars_stream(level: pl.CompatLevel) -> bytes:
    out = io.BytesIO()
    GOOD.write_ipc_stream(out, compat_level=level)
    return out.getvalue()


@pytest.mark.parametrize(
    "made",
    [
        lambda: stream(GOOD),
        lambda: stream(GOOD.select(reversed(GOOD.columns))),
        lambda: stream(GOOD.with_columns(pl.col("at").dt.replace_time_zone("UTC").dt.cast_time_unit("ms"))),
        lambda: polars_stream(pl.CompatLevel.oldest()),
        lambda: polars_stream(pl.CompatLevel.newest()),
    ],
)
def test_a_stream_is_the_frame_that_training_saw(made: Callable[[], bytes]) -> None:
    found = to_frame(SCHEMA, made())
    assert found.columns == list(SCHEMA.names) and dict(found.schema) == SCHEMA.types
    # What no request has is made here; a moment without a zone is in UTC, one with a zone the same in its own.
    row = found.row(0, named=True)
    assert (row["day"], row["at"], row["there"].hour) == (date(2024, 1, 1), NOON, 13)
    assert found["shop"].to_list() == GOOD["shop"].to_list() and found["amount"].null_count() == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("items"), "columns.items: Field required"),
        (
            lambda f: f.with_columns(colour=pl.lit("red")),
            "columns: has a field that the request does not know: 'colour'",
        ),
        (lambda f: f.with_columns(items=pl.lit(40_000)), "columns.items[0]: Input should be -32768 to 32767"),
        (
            lambda f: f.with_columns(items=pl.lit(2**64 - 1, pl.UInt64)),
            "columns.items[0]: Input should be -32768 to 32767",
        ),
        (lambda f: f.with_columns(items=pl.lit(1.5)), "columns.items: Input should be a column of whole numbers"),
        (lambda f: f.with_columns(items=pl.lit(None, pl.Int16)), "columns.items[0]: no value, where every row has to"),
        (lambda f: f.with_columns(items=pl.lit(None)), "columns.items[0]: no value, where every row has to"),
        (lambda f: f.with_columns(amount=pl.lit(float("nan"))), "columns.amount[0]: Input should be a finite number"),
        (lambda f: f.with_columns(amount=pl.lit(1e39)), "columns.amount[0]: Input should be a finite number"),
        (lambda f: f.with_columns(amount=pl.lit("1")), "columns.amount: Input should be a column of numbers"),
        (lambda f: f.with_columns(shop=pl.lit("west")), "columns.shop[0]: Input should be 'north', 'south'"),
        (
            lambda f: f.with_columns(name=pl.lit("ü" * 1001)),
            "columns.name[0]: String should have at most 1000 characters",
        ),
        (
            lambda f: f.with_columns(name=pl.lit("x" * 5000)),
            "columns.name[0]: String should have at most 1000 characters",
        ),
        (lambda f: f.with_columns(member=pl.lit(1)), "columns.member: Input should be a column of true and false"),
        (lambda f: f.with_columns(there=pl.lit(NOON)), "columns.there: Input should be a column of times"),
        (
            lambda f: f.with_columns(at=pl.lit(2**62).cast(pl.Datetime("us"))),
            "columns.at[0]: Input should be in the years",
        ),
        (lambda f: f.with_columns(name=pl.lit(["x"])), "columns.name: Input should be a column of numbers, texts"),
        (lambda f: f.head(0), f"a stream has 1 to {MAX_COLUMN_ROWS} rows"),
        (lambda f: pl.concat([f] * 10_001), f"a stream has 1 to {MAX_COLUMN_ROWS} rows"),
    ],
)
def test_what_a_request_must_not_have_is_one_line(change: Callable[[pl.DataFrame], pl.DataFrame], said: str) -> None:
    with pytest.raises(PlatformError) as refused:
        to_frame(SCHEMA, stream(change(GOOD)))
    assert str(refused.value).startswith(said) and not isinstance(refused.value, NoStream)


def test_what_would_grow_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that are compressed, or a text that many rows point to, may be more than the machine has."""
    monkeypatch.setattr(pa.ipc, "open_stream", lambda _: pytest.fail("it was read"))
    for compression in ("zstd", "lz4"):
        with pytest.raises(PlatformError, match="a compressed stream is not taken; write it without compression"):
            to_frame(SCHEMA, stream(GOOD.with_columns(name=pl.lit("x" * 500)), compression=compression))
    with pytest.raises(PlatformError, match="a stream with dictionaries is not taken; send texts as they are"):
        to_frame(SCHEMA, stream(GOOD.with_columns(pl.col("shop").cast(pl.Categorical))))


@pytest.mark.parametrize("body", [b"", b"{}", b"ARROW1\0\0" + b"\0" * 64, b"\xff" * 64, b"\xff\xff\xff\xff\0\0\0\0"])
def test_other_bytes_are_no_stream(body: bytes) -> None:
    with pytest.raises(NoStream, match="body is not an Arrow stream"):
        to_frame(SCHEMA, body)


def test_headers_that_lie_end_no_process() -> None:
    """Every byte changed in turn, and more at random: a frame of the request's types, or a refusal."""
    good, rng = stream(GOOD), random.Random(3)
    for place in range(2_000):
        body = bytearray(good)
        body[place % len(good)] = rng.choice([0, 1, 127, 128, 255])
        if place >= len(good):
            del body[rng.randrange(len(body)) :]
        try:
            assert dict(to_frame(SCHEMA, bytes(body)).schema) == SCHEMA.types
        except PlatformError:
            continue


def test_an_answer_has_a_column_for_each_field() -> None:
    answer = pl.read_ipc_stream(to_stream({"predictions": [0.5, 0.25], "decisions": None}, 2))
    assert answer.to_dict(as_series=False) == {"predictions": [0.5, 0.25]}
    several = to_stream({"predictions": ["a"], "probabilities": [[0.5, 0.5]]}, 1)
    assert pl.read_ipc_stream(several)["probabilities"].to_list() == [[0.5, 0.5]]
    for other in ("all of them", [1.0, 2.0]):
        with pytest.raises(PlatformError, match="the field of of an answer is not one value per row; ask in JSON"):
            to_stream({"predictions": [0.5], "of": other}, 1)


def test_a_service_answers_a_stream_as_it_answers_json(service: checks.Running, inputs: Inputs) -> None:
    raw = make_raw(1_000, UNTIL + timedelta(days=1), 1, seed=8).select(Tiny.inputs)
    rows = [json.loads(json.dumps(row, default=str)) for row in raw.to_dicts()]
    with Client(service.url, service.key) as client:
        answer = client.predict_frame(raw)
        told = client.predict_columns({name: [row[name] for row in rows] for name in raw.columns})
        assert answer["predictions"].to_list() == told["predictions"]
        assert answer["decisions"].to_list() == told["decisions"]
        with pytest.raises(RequestRefused, match=r"answered 422: columns\.items: Field required"):
            client.predict_frame(raw.drop("items"))
        as_stream = {"content-type": ARROW_TYPE}
        assert client.send("POST", "/predict_columns", b"{}", as_stream) == (
            400,
            b'{"error":"body is not an Arrow stream"}',
        )
        status, said = client.send("POST", "/predict", b"{}", as_stream)
        assert (status, json.loads(said)) == (415, {"error": "content-type must be application/json"})
        status, said = client.send("POST", "/predict_columns", b"{}", {"content-type": "text/csv"})
        assert (status, json.loads(said)["error"]) == (415, f"content-type must be application/json or {ARROW_TYPE}")
        assert client.send("POST", "/predict_columns", b" " * (service.body_limit + 1), as_stream)[0] == 413


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("amount", ["1.5", "4x", None], "Input should be a column of numbers"),
        ("items", [3, None, 5], "no value, where every row has to have one"),
        ("items", [3, 40_000, 5], "Input should be -32768 to 32767"),
        ("amount", [1.0, float("inf"), None], "Input should be a finite number"),
        ("shop", ["north", "nowhere", None], "Input should be 'north', 'south'"),
    ],
)
def test_a_value_that_is_not_taken_is_named_with_its_row(column: str, values: list[Any], said: str) -> None:
    frame = GOOD.head(3).with_columns(pl.Series(column, values))
    with pytest.raises(BadValue) as refused:
        checked(SCHEMA, frame)
    assert str(refused.value).startswith(f"columns.{column}[1]: {said}")
    assert refused.value.in_table().startswith(f"column {column!r}, row 2: {said}")
