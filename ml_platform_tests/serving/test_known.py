"""Texts that training has not seen are answered and told."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.serving import checks, known
from ml_platform.serving.client import Client
from ml_platform.serving.known import Known, known_texts, texts_of
from ml_platform.serving.schema import RequestField, RequestSchema
from ml_platform_tests.serving.conftest import Inputs

KNOWN = Known({"shop": ("north", "south")})


def test_texts_are_kept_where_they_name_kinds_and_not_single_rows() -> None:
    rows = 60
    frame = pl.DataFrame(
        {
            "kind": ["a", "b", None] * (rows // 3),
            "order": [f"o{number}" for number in range(rows)],
            "nothing": pl.Series([None] * rows, dtype=pl.String),
        }
    )
    found = known_texts([frame.head(30), frame.tail(30).with_columns(kind=pl.lit("c"))], frame.columns)
    assert found == {"kind": ("a", "b", "c")}


def test_no_column_is_read_on_once_it_has_too_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 3)
    frame = pl.DataFrame({"kind": ["a", "b", "c", "d"] * 20, "few": ["a", "b", "c", "c"] * 20})
    assert known_texts([frame, frame], ["kind", "few"]) == {"few": ("a", "b", "c")}


def test_neither_personal_texts_nor_those_of_a_closed_list_are_kept() -> None:
    fields = (
        RequestField(name="free", type="str", dtype="String"),
        RequestField(name="email", type="str", dtype="String", pii=True),
        RequestField(name="closed", type="str", dtype="String", allowed=("a",)),
        RequestField(name="row", type="str", dtype="String", made_from=""),
        RequestField(name="number", type="int", dtype="Int64"),
    )
    assert texts_of(RequestSchema(fields=fields, time="", key=())) == ("free",)


def test_one_row_a_few_and_many_say_the_same() -> None:
    assert KNOWN.unseen({"shop": "north", "other": 1}) == KNOWN.unseen({"shop": None}) == {}
    assert KNOWN.unseen({"shop": "west"}) == {"shop": [0]}
    for copies in (1, 100):
        frame = pl.DataFrame({"shop": ["north", "west", None, "south"] * copies})
        assert KNOWN.unseen(frame) == {"shop": [4 * copy + 1 for copy in range(copies)]}
    assert known.told({"shop": [1, 5], "town": [0]}) == (
        "texts that training has not seen: 'shop' in 2 rows, 'town' in 1 row"
    )
    assert known.told({}) == ""
    assert Known({}).unseen(pl.DataFrame({"shop": ["west"]})) == {}


def test_an_answer_names_the_rows_with_a_text_that_training_has_not_seen(
    inputs: Inputs, service_settings: Settings, tmp_path: Path
) -> None:
    packaged = inputs.package(tmp_path, known={"shop": ("north", "south")})
    good = {**inputs.rows(1)[0], "shop": "north"}
    rows = [good, {**good, "shop": "west"}, {**good, "shop": "south"}, {**good, "shop": "west"}]
    with checks.running(packaged.path, service_settings) as running, Client(running.url, running.key) as client:
        assert "unseen" not in client.predict([good])
        assert client.predict(rows[1:2])["unseen"] == {"shop": [0]}
        answer = client.predict(rows)
        assert answer["unseen"] == {"shop": [1, 3]} and len(answer["predictions"]) == 4
        columns = {name: [row[name] for row in rows] for name in good}
        assert client.predict_columns(columns) == answer
        assert client.json("POST", "/explain", {"rows": rows[:2]})["unseen"] == {"shop": [1]}
        counted = [line for line in client.metrics().splitlines() if line.startswith("ml_service_unseen_rows_total{")]
        assert [float(line.rpartition(" ")[2]) for line in counted] == [6.0]
