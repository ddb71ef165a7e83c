"""Dagster's history in PostgreSQL while connections are cut and the server is away: every event once, none lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from ml_platform.foundation.patience import Away
from ml_platform.foundation.settings import Settings
from ml_platform.orchestration.postgres import EventLog, RunStorage
from ml_platform_tests import postgres
from ml_platform_tests.conftest import ROOT

pytestmark = pytest.mark.slow

ASSETS = 12


@dg.asset
def several(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization | dg.Output[int]]:
    for number in range(ASSETS):
        context.log.info("said %d", number)
        yield dg.AssetMaterialization(f"made_{number}", metadata={"number": number})
    yield dg.Output(1)


@dg.asset_check(asset=several)
def counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@contextmanager
def cutting(url: str) -> Iterator[list[int]]:
    """Cut each connection to a database again and again; gives the numbers of those cut."""
    name, cut, ended = url.rpartition("/")[2], list[int](), threading.Event()
    admin = sa.create_engine(url.rpartition("/")[0] + "/postgres", isolation_level="AUTOCOMMIT")
    told = sa.text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = :name")

    def cuts() -> None:
        with admin.connect() as connection:
            while not ended.wait(0.03):
                cut.append(connection.execute(told, {"name": name}).scalar() or 0)

    thread = threading.Thread(target=cuts)
    thread.start()
    try:
        yield cut
    finally:
        ended.set()
        thread.join()
        admin.dispose()


@pytest.fixture
def instance(settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("ML_PLATFORM_DAGSTER_POSTGRES_URL", postgres_url)
    with dg.DagsterInstance.from_config(str(ROOT)) as opened:
        assert not opened.get_runs()
        yield opened


def test_a_run_whose_connections_are_cut_succeeds_and_stores_each_event_once(
    instance: dg.DagsterInstance, postgres_url: str
) -> None:
    with cutting(postgres_url) as cut:
        runs = [dg.materialize([several, counted], instance=instance).run_id for _ in range(2)]
    assert sum(cut) > 3, "connections were cut while the runs wrote"
    for run in runs:
        assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
        records = instance.all_logs(run)
        said = [record.user_message for record in records if record.user_message.startswith("said ")]
        assert said == [f"said {number}" for number in range(ASSETS)]
        made = [record.dagster_event.step_materialization_data for record in records if record.dagster_event
                and record.dagster_event.is_step_materialization]  # fmt: skip
        assert len(made) == ASSETS + 1
        bodies = [(record.timestamp, record.user_message) for record in records]
        assert len(bodies) == len(set(bodies))
    for number in range(ASSETS):
        key = dg.AssetKey(f"made_{number}")
        assert len(instance.fetch_materializations(key, limit=10).records) == len(runs)
    assert {key.to_user_string() for key in instance.all_asset_keys()} >= {f"made_{n}" for n in range(ASSETS)}
    history = instance.event_log_storage.get_asset_check_execution_history(counted.check_key, limit=10)
    assert [record.status.value for record in history] == ["SUCCEEDED"] * len(runs)


def test_tags_added_to_a_run_are_all_there_however_often_the_connection_was_cut(
    instance: dg.DagsterInstance, postgres_url: str
) -> None:
    run = dg.materialize([several], instance=instance).run_id
    wanted = {f"tag_{number}": str(number) for number in range(40)}
    with cutting(postgres_url) as cut:
        for name, value in wanted.items():
            instance.add_run_tags(run, {name: value})
    assert sum(cut)
    for name, value in wanted.items():
        assert [found.run_id for found in instance.get_runs(dg.RunsFilter(tags={name: value}))] == [run]


def test_what_was_stored_though_the_answer_was_lost_is_stored_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may end between the end of a transaction and what it says of it."""
    lost = list[str]()

    def losing(whole: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @contextmanager
        def after(storage: Any) -> Iterator[sa.Connection]:
            with whole(storage) as connection:
                yield connection
            if not storage.held.again:
                lost.append(type(storage).__name__)
                raise OperationalError(
                    None, None, Exception("server closed the connection"), connection_invalidated=True
                )

        return after

    for storage in (EventLog, RunStorage):
        monkeypatch.setattr(storage, "whole", losing(storage.whole))
    result = dg.materialize([several, counted], instance=instance)
    assert result.success and {"EventLog", "RunStorage"} <= set(lost)
    bodies = [(record.timestamp, record.user_message) for record in instance.all_logs(result.run_id)]
    assert len(bodies) == len(set(bodies)) > ASSETS
    assert [run.run_id for run in instance.get_runs()] == [result.run_id]


@pytest.mark.filterwarnings("ignore:Use fetch_materializations")
def test_who_follows_the_newest_event_misses_none_of_two_that_write_at_once(instance: dg.DagsterInstance) -> None:
    """A sensor goes on after the newest number that it saw: a smaller one that came later it would never see."""
    ended, seen = threading.Event(), list[int]()

    def follow() -> None:
        last = False
        while not last:
            last = ended.is_set()
            after = dg.EventRecordsFilter(
                dg.DagsterEventType.ASSET_MATERIALIZATION, after_cursor=seen[-1] if seen else None
            )
            seen.extend(record.storage_id for record in instance.get_event_records(after, ascending=True))

    def write(name: str) -> None:
        for number in range(30):
            instance.report_runless_asset_event(dg.AssetMaterialization(name, metadata={"at": number}))

    reader = threading.Thread(target=follow)
    writers = [threading.Thread(target=write, args=(f"of_{name}",)) for name in range(3)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert len(seen) == 90


def test_a_server_that_stays_away_is_told_in_one_line(
    postgres_binaries: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_PLATFORM_PATIENCE_SECONDS", "3")
    with postgres.server(postgres_binaries) as own:
        monkeypatch.setenv("ML_PLATFORM_DAGSTER_POSTGRES_URL", own.database())
        with dg.DagsterInstance.from_config(str(ROOT)) as opened:
            own.stop()
            began = time.monotonic()
            with pytest.raises(Away, match=r"Dagster's database .* is away: .*") as told:
                opened.get_runs()
            assert time.monotonic() - began > 2, "it was waited for"
            assert "\n" not in str(told.value)
            own.start()
            assert opened.get_runs() == []
