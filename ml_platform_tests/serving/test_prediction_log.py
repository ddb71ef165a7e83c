"""Every row lands in the log or is counted as dropped; nothing waits."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.serving.prediction_log import (
    FORMAT,
    LEADING,
    PREDICTION,
    PROBABILITIES,
    Answerer,
    Asked,
    PredictionLog,
    features_sha256,
)

INPUTS = pl.DataFrame({"shop": ["north", "south"], "items": [1, 2]})
PREDICTIONS = np.array([0.25, 0.75], dtype=np.float32)


def read(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("m/*/*.parquet"))])


def test_rows_land_with_their_request(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Answerer("m", 3))
    assert log.add(Asked("a"), INPUTS, PREDICTIONS)
    assert log.add(Asked("b"), INPUTS.head(1), PREDICTIONS[:1])
    log.close()
    found = read(tmp_path)
    assert found.columns == [*LEADING, "shop", "items", PREDICTION]
    assert found["request_id"].to_list() == ["a", "a", "b"]
    assert found["request_row"].to_list() == [0, 1, 0]
    assert found["model_version"].unique().to_list() == [3]
    assert found[PREDICTION].to_list() == [0.25, 0.75, 0.25]
    assert found["predicted_at"].dtype == pl.Datetime("us", "UTC")
    assert log.dropped == 0
    assert not list(tmp_path.rglob("*.tmp"))


def test_rows_that_come_as_values_land_in_order_beside_frames(tmp_path: Path) -> None:
    made: list[int] = []

    def frame(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        made.append(len(rows))
        return pl.DataFrame(rows, schema=INPUTS.schema)

    log = PredictionLog(tmp_path, Answerer("m", 3), frame=frame)
    for request in ("a", "b"):
        log.add(Asked(request), {"shop": request, "items": None}, PREDICTIONS[:1])
    log.add(Asked("c"), INPUTS, PREDICTIONS)
    log.add(Asked("d"), {"shop": "d", "items": 4}, PREDICTIONS[1:])
    log.close()
    found = read(tmp_path)
    assert found["shop"].to_list() == ["a", "b", "north", "south", "d"]
    assert found["request_id"].to_list() == ["a", "b", "c", "c", "d"]
    assert found["items"].to_list() == [None, None, 1, 2, 4]
    assert (made, log.dropped) == ([2, 1], 0)


def test_of_several_classes_the_name_and_all_probabilities_land(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Answerer("m", 1), classes=("early", "on time", "late"))
    log.add(Asked("a"), INPUTS, np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]], dtype=np.float32))
    log.close()
    found = read(tmp_path)
    assert found[PREDICTION].to_list() == ["late", "early"]
    np.testing.assert_allclose(found[PROBABILITIES].to_numpy()[0], [0.2, 0.3, 0.5], rtol=1e-6)
    assert log.dropped == 0


def test_files_appear_without_closing(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Answerer("m", 1), flush_seconds=0.05)
    log.add(Asked("a"), INPUTS, PREDICTIONS)
    waited = threading.Event()
    for _ in range(200):
        if list(tmp_path.glob("m/*/*.parquet")):
            break
        waited.wait(0.05)
    assert read(tmp_path).height == 2
    log.close()


@pytest.mark.parametrize("limits", [{"max_requests": 4}, {"max_rows": 8}])
def test_overflow_is_dropped_and_counted(tmp_path: Path, limits: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    release, writing = threading.Event(), threading.Event()
    write = PredictionLog._write

    def slow(log: PredictionLog, entries: list) -> None:
        writing.set()
        assert release.wait(20)
        write(log, entries)

    monkeypatch.setattr(PredictionLog, "_write", slow)
    told: list[int] = []
    log = PredictionLog(tmp_path, Answerer("m", 1), flush_rows=1, on_drop=told.append, **limits)
    kept = [log.add(Asked("first"), INPUTS, PREDICTIONS)]
    assert writing.wait(20)  # the disk is busy from here on
    kept += [log.add(Asked(str(n)), INPUTS, PREDICTIONS) for n in range(20)]
    release.set()
    log.close()
    assert False in kept
    assert log.dropped == sum(told) == 2 * kept.count(False)
    assert read(tmp_path).height == 2 * kept.count(True)


def test_a_full_disk_is_counted_and_outlived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failed = PredictionLog._write, threading.Event()

    def fails_once(log: PredictionLog, entries: list) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(28, "No space left on device")
        write(log, entries)

    monkeypatch.setattr(PredictionLog, "_write", fails_once)
    log = PredictionLog(tmp_path, Answerer("m", 1), flush_rows=1)
    log.add(Asked("lost"), INPUTS, PREDICTIONS)
    assert failed.wait(20)
    log.add(Asked("kept"), INPUTS, PREDICTIONS)
    log.close()
    assert read(tmp_path)["request_id"].unique().to_list() == ["kept"]
    assert log.dropped == 2


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Answerer("m", 1))
    log.close()
    assert not log.add(Asked("late"), INPUTS, PREDICTIONS)
    assert log.dropped == 2


def test_a_row_names_its_request_its_answerer_and_its_features(tmp_path: Path) -> None:
    days = pl.DataFrame({"day": [date(2024, 4, 1), date(2024, 4, 3)], "secret": [1, 2]})
    matrix = np.array([[1.0, np.nan], [2.0, 3.0]], dtype=np.float32)
    log = PredictionLog(tmp_path, Answerer("m", 3, "pack", "hist", date(2024, 3, 31), "day"), columns=["day"])
    log.add(Asked("ours", "theirs", "flights", "candidate"), days, PREDICTIONS, matrix)
    log.close()
    found = read(tmp_path)
    first = found.row(0, named=True)
    expected = {
        "request_id": "ours", "client_request_id": "theirs", "request_route": "flights", "request_role": "candidate",
        "model_version": 3, "package_sha256": "pack", "history_sha256": "hist", "history_age_days": 1,
        "features_sha256": features_sha256(matrix[0]),
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert found["history_age_days"].to_list() == [1, 3]
    assert "secret" not in found.columns
    (file,) = tmp_path.glob("m/*/*.parquet")
    assert file.parent.name == datetime.now(UTC).date().isoformat()
    assert pl.read_parquet_metadata(file)["format"] == FORMAT


@pytest.mark.parametrize(("keep", "left"), [(30, ["2"]), (0, ["0", "1", "2"])])
def test_whole_days_expire(tmp_path: Path, keep: int, left: list[str]) -> None:
    today = datetime.now(UTC).date()
    for name, age in (("0", 100), ("1", 31), ("2", 30)):
        folder = tmp_path / "m" / (today - timedelta(days=age)).isoformat()
        folder.mkdir(parents=True)
        (folder / f"{name}.parquet").touch()
    # Files of the release before lie in no folder of a day.
    old = tmp_path / "m" / f"{int((datetime.now(UTC) - timedelta(days=40)).timestamp() * 1e9)}-1-1.parquet"
    old.touch()
    log = PredictionLog(tmp_path, Answerer("m", 1), keep_days=keep)
    log.add(Asked("a"), INPUTS, PREDICTIONS)
    log.close()
    assert sorted(path.stem for path in tmp_path.glob("m/*/?.parquet")) == left
    assert old.exists() == (keep == 0)
    assert len(list((tmp_path / "m" / today.isoformat()).glob("*.parquet"))) == 1
