"""How the year goes on: the clock, what arrives, who asks, and what is said of it in the end."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import load_catalogue
from ml_platform.demonstrating import comparison, outcome, project, world
from ml_platform.demonstrating.chart import chart
from ml_platform.demonstrating.users import Users
from ml_platform.demonstrating.year import MONTHS, Month, Story, Year, story

JULY, AUGUST = MONTHS[6:8]


class Service(BaseHTTPRequestHandler):
    """Answers as version 3, with a history until the day before; refuses the third batch."""

    batches = 0

    def do_GET(self) -> None:
        self._send(200, {"history_until": "2013-07-14"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        count = len(body["rows"]) if "rows" in body else len(next(iter(body["columns"].values())))
        type(self).batches += "columns" in body
        if self.batches == 3 and "columns" in body:
            self._send(422, {"error": "no"})
        else:
            self._send(200, {"predictions": [0.5] * count, "version": 3, "stale": count > 1 or None})

    def _send(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """Where the service is asked."""
    Service.batches = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelContext:
    """The model of the demonstration."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "demo"))
    project.prepare(tmp_path / "demo", JULY)
    return ModelContext.of(load_catalogue(project.Project.find(tmp_path / "demo"), working=True), project.MODEL)


@pytest.fixture(scope="module")
def months() -> dict[str, pl.DataFrame]:
    """Some rows of July and August."""
    return {name: world.Arrivals._example().read(name).sample(600, seed=1).sort("date") for name in (JULY, AUGUST)}


def test_the_clock_goes_on_and_months_arrive_as_the_story_says(
    context: ModelContext, months: dict[str, pl.DataFrame], tmp_path: Path, url: str
) -> None:
    home, happened = tmp_path / "demo", list[tuple[str, str, bool]]()
    year = Year(home, _workspace(), context, lambda _: None)
    year.users = Users(context, lambda: url, months.__getitem__)
    year._over = lambda month: month  # type: ignore[assignment]
    acts: list[str] = []

    def settle(since: float, meanwhile: Any, *, enough: Any = None) -> None:
        clock, note = (home / world.CLOCK).read_text(), json.loads((home / world.DELIVERIES).read_text())
        happened.append((clock[:10], note.get(JULY, ""), enough()))

    year.settle = settle
    lived = Story((JULY,), days=7, deliveries={JULY: (world.TWICE, 2)}, acts={JULY: lambda _: acts.append("done")})
    assert [*year.live(lived)] == [JULY]
    assert happened == [
        ("2013-07-01", "", False),
        ("2013-07-08", "", False),
        # The service knows of the day before: that is enough.
        ("2013-07-15", "", True),
        ("2013-07-22", "", False),
        ("2013-08-01", world.TWICE, False),
        ("2013-08-03", "", False),
    ]
    assert [text for _, kind, text in year.log if kind == "rollback"] == [
        "version 2 was sent back: errors",
        "a batch was taken back: wrong unit",
    ]
    assert acts == ["done"] and [f"{day:%d}" for day in year._looks] == ["01", "08", "15", "22"]
    answers = year.users.answers[JULY]
    refused = months[JULY].filter(pl.col("day") == 3).height
    assert [*answers.refused.values()] == [refused] and answers.versions == {3: 600 - refused}
    assert year.users.failed == refused and answers.stale == answers.answered
    year.users.visit(5)
    assert year.users.visits == Counter({"version 3": 5}) and year.users.failed == refused
    assert answers.measured(context) == 0.5


def test_what_is_compared_knows_no_more_than_users_were_answered_from(
    context: ModelContext, months: dict[str, pl.DataFrame]
) -> None:
    features = comparison.features_of(context, months)
    days = sorted(set(months[AUGUST]["date"]))
    assert comparison.features_at(context, months, AUGUST, days).equals(features[AUGUST])
    once = comparison.features_at(context, months, AUGUST, days[:1])
    first = features[AUGUST]["date"] == days[0]
    assert once.filter(first).equals(features[AUGUST].filter(first)) and not once.equals(features[AUGUST])
    model = SimpleNamespace(predict=lambda matrix: np.linspace(0, 1, len(matrix)))
    assert 0.3 < comparison.metric(context, model, features[JULY]) < 0.7  # type: ignore[arg-type]


def test_promises_are_kept_or_not(context: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "standing", lambda _, version: SimpleNamespace(status=version))
    year: Any = SimpleNamespace(
        context=context,
        workspace=SimpleNamespace(
            registry=SimpleNamespace(get=lambda _, number: {1: "approved", 2: "pending"}[number])
        ),
        users=SimpleNamespace(failed=0, visits=Counter()),
        log=[
            (AUGUST, "alert", f"ALERT: flights: {JULY} is refused by rules"),
            (AUGUST, "retrain", "training of new data"),
        ],
        bad_build="by supervisor: errors",
    )
    lived = [
        Month(JULY, 0.74, 0.741, 0.741, 0.75, 10, 0, 0, {1: 10}),
        Month(AUGUST, 0.73, 0.731, 0.72, 0.74, 10, 0, 0, {1: 10}),
    ]
    found = outcome.outcome(year, story(2), lived)
    assert [one.kept for one in found.promises] == [True, True, True, True, True, False, True]
    assert found.promises[5].seen == "nobody was told" and not found.kept
    assert found.trainings == ((AUGUST, "training of new data"),) and len(found.alerts) == 1
    assert json.loads(json.dumps(found.plain()))["kept"] is False
    year.users.failed, year.bad_build = 3, ""
    worse = [Month(JULY, 0.7, 0.741, 0.741, 0.75, 10, 0, 0, {2: 10})]
    found = outcome.outcome(year, story(1), worse)
    assert [one.kept for one in found.promises] == [False, False, False, True, False]
    assert "July" not in chart(lived) and ">Jul<" in chart(lived) and "live (0.7350)" in chart(lived)


def _workspace() -> Any:
    bodies: list[dict[str, Any]] = [{"version": 2, "because": "errors"}, {"taken_back": "x", "because": "wrong unit"}]
    entries = [SimpleNamespace(kind="rollback", body=body) for body in bodies]
    return SimpleNamespace(ledger=SimpleNamespace(log=lambda: entries), rollouts=None)
