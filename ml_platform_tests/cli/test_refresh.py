"""A version that answers learns what has happened: a new process with a newer history behind the same address."""

import json
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ml_platform.serving.client import Client, ServiceDown
from ml_platform_tests.cli.conftest import shop_template
from ml_platform_tests.components.shop import APRIL, MODEL, MONTHS, Shop, free_ports

__all__ = ["shop_template"]

pytestmark = pytest.mark.slow
MAY = "2024-05-01"
ON_THE_FOURTH = {"ML_PLATFORM_NOW": "2024-05-04T08:00:00"}


class Live(NamedTuple):
    """A project whose model answers at an address."""

    shop: Shop
    settings: dict[str, str]
    address: str

    def row(self, day: date) -> dict[str, Any]:
        """A row that the service takes, on a day."""
        import polars as pl

        raw = pl.read_parquet(self.shop.source / f"{APRIL}.parquet").row(0, named=True)
        with Client(self.address) as client:
            names = [field["name"] for field in client.info()["inputs"]]
        return {name: raw[name] for name in names} | {"day": day.isoformat()}


@pytest.fixture(scope="module")
def live(shop_template: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """January to April were run and a version answers; May has begun at the source."""
    shop = shop_template.copy(tmp_path_factory.mktemp("refresh") / "shop")
    for month in MONTHS:
        shop.deliver(month)
    settings = {"ML_PLATFORM_PORTS": free_ports(), "ML_PLATFORM_PREDICTION_LOG_SECONDS": "0.5"}
    try:
        status = shop.root / "status.json"
        done = shop.several(["run"], ["status", "--json", str(status)], **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        shop.deliver(MAY)
        yield Live(shop, settings, find(json.loads(status.read_text()), "url"))
    finally:
        shop.ml("stop", **settings)


def find(value: Any, name: str) -> Any:
    """The first value of this name in nested JSON."""
    if isinstance(value, dict):
        if value.get(name):
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            if (found := find(one, name)) is not None:
                return found
    return None


def refresh(shop: Shop, settings: dict[str, str], **environment: str) -> Any:
    result = shop.root / "refresh.json"
    done = shop.ml("refresh", "--json", str(result), **settings, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(result.read_text())[MODEL]


class Load:
    """Requests on one connection until the end of the block: statuses and histories of the answers."""

    def __init__(self, address: str, row: dict[str, Any]) -> None:
        self.address, self.body = address, json.dumps({"rows": [row]}).encode()
        self.statuses: list[int] = []
        #: Those that were not answered: which one, and why.
        self.failed: list[tuple[int, str]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        with Client(self.address, again=False) as client:
            while not self._end.wait(0.01):
                try:
                    status, content = client.send("POST", "/predict", self.body)
                    self.statuses.append(status)
                    if status != 200:
                        self.failed.append((len(self.statuses), content.decode()))
                except ServiceDown:
                    self.statuses.append(0)


def test_days_of_a_month_under_way_reach_the_service_without_a_failed_request(
    live: Live,
) -> None:
    shop, settings, address = live
    row = live.row(date(2024, 5, 4))
    with Client(address) as client:
        before, info = client.predict([row]), client.info()
    assert before["stale"] and info["history_until"] == "2024-04-30"
    with Load(address, row) as load:
        found = refresh(shop, settings, **ON_THE_FOURTH)
    assert found["changed"] and found["until"] == "2024-05-03" and found["url"] == address
    with Client(address) as client:
        after, info = client.predict([row]), client.info()
    assert "stale" not in after
    assert (info["history_sha256"], info["history_until"]) == (found["sha256"], "2024-05-03")
    assert (info["sha256"], after["version"]) == (info["sha256"], before["version"])
    assert not load.failed and len(load.statuses) > 20 and set(load.statuses) == {200}
    # Nothing new, nothing done.
    assert not refresh(shop, settings, **ON_THE_FOURTH)["changed"]


def test_a_trace_names_the_days_under_way(live: Live) -> None:
    import time
    import urllib.request

    shop, settings, address = live
    refresh(shop, settings, **ON_THE_FOURTH)
    row = live.row(date(2024, 5, 4))
    request = urllib.request.Request(
        f"{address}/predict",
        json.dumps({"rows": [row]}).encode(),
        {"content-type": "application/json", "x-request-id": "in-may"},
    )
    urllib.request.urlopen(request, timeout=20).read()
    deadline = time.monotonic() + 30
    while (done := shop.ml("trace", "--request", "in-may", **settings)).returncode and time.monotonic() < deadline:
        time.sleep(1)
    assert "until 2024-05-03" in done.stdout and f"{MAY}, days: commit" in done.stdout, done.stdout + done.stderr


def test_a_day_after_the_other_is_answered_without_a_mark(live: Live) -> None:
    shop, settings, address = live
    for day in (date(2024, 5, 5), date(2024, 5, 6)):
        assert refresh(shop, settings, ML_PLATFORM_NOW=f"{day}T06:00:00")["until"] == str(day - timedelta(days=1))
        with Client(address) as client:
            assert "stale" not in client.predict([live.row(day)])


def test_a_new_version_takes_over_with_the_days_that_are_known(live: Live) -> None:
    """Beside the version that was refreshed it would be sent back for the older history in its package."""
    shop, settings, address = live
    now = {"ML_PLATFORM_NOW": "2024-05-06T06:00:00"}
    refresh(shop, settings, **now)
    with Client(address) as client:
        before = client.info()
    assert before["history_until"] == "2024-05-05"
    shop.edit(MODEL, "rounds: 200", "rounds: 150")
    done = shop.ml("run", "--model", MODEL, **settings, **now)
    assert done.returncode == 0, done.stdout + done.stderr
    with Client(address) as client:
        after, answer = client.info(), client.predict([live.row(date(2024, 5, 6))])
    assert (answer["version"], after["history_sha256"]) == (2, before["history_sha256"]) and "stale" not in answer
    assert after["sha256"] != before["sha256"]


def test_a_broken_day_is_seen_and_the_older_history_stays(live: Live, tmp_path: Path) -> None:
    import polars as pl

    shop, settings, _ = live
    before = refresh(shop, settings, ML_PLATFORM_NOW="2024-05-06T06:00:00")
    path = shop.source / f"{MAY}.parquet"
    sound = pl.read_parquet(path)
    try:
        twice = pl.concat([sound, sound.filter(pl.col("day") == date(2024, 5, 6))])
        twice.write_parquet(path)
        found = refresh(shop, settings, ML_PLATFORM_NOW="2024-05-07T06:00:00")
    finally:
        sound.write_parquet(path)
    assert (found["sha256"], found["changed"]) == (before["sha256"], False)


def test_other_feature_code_is_refused_in_one_line(live: Live) -> None:
    shop, settings, _ = live
    file = next(shop.defs.rglob("features.py"))
    text = file.read_text()
    assert "prior" in text or "HistoricalMean(" in text
    try:
        file.write_text(text + "\n\ndef further() -> int:\n    return 7\n\n\nfeatures.further = further\n")
        done = shop.ml("refresh", **settings, ML_PLATFORM_NOW="2024-05-09T06:00:00")
    finally:
        file.write_text(text)
    assert done.returncode == 1
    assert "answers by feature code" in done.stdout and "Traceback" not in done.stdout + done.stderr
