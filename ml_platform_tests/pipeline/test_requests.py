"""Answers are found by our id before a caller's, each whole; the note on a history is held against the ledger."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.ledger.kinds import HISTORY, PROMOTION
from ml_platform.pipeline import requests
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.pairs import log_folder
from ml_platform.serving import snapshots

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def log(settings: Settings, *answers: tuple[str, str, int]) -> None:
    """Answers as (our id, the caller's id, prediction), a second apart, two rows each."""
    rows = [
        {
            "predicted_at": NOON + timedelta(seconds=second),
            "request_id": ours,
            "client_request_id": theirs,
            "request_row": row,
            "model_version": 1,
            "prediction": float(prediction),
        }
        for second, (ours, theirs, prediction) in enumerate(answers)
        for row in range(2)
    ]
    folder = log_folder(settings) / "m" / "2024-05-01"
    folder.mkdir(parents=True)
    pl.DataFrame(rows).write_parquet(folder / "1.parquet")


def predictions(settings: Settings, request: str) -> list[list[float]]:
    return [[row["prediction"] for row in one.rows] for one in requests.find(Workspace(settings), ["m"], request)]


def test_an_id_that_a_caller_chose_hides_no_answer(settings: Settings) -> None:
    log(settings, ("ours", "order-7", 1), ("other", "ours", 2), ("third", "order-7", 3))
    assert predictions(settings, "ours") == [[1, 1]]
    assert predictions(settings, "order-7") == [[1, 1], [3, 3]]
    with pytest.raises(MissingReference, match="no prediction log has the request 'none'"):
        requests.find(Workspace(settings), ["m"], "none")


def test_answers_with_one_id_are_each_named(settings: Settings) -> None:
    log(settings, ("ours", "", 1), ("ours", "", 2))
    assert predictions(settings, "ours") == [[1, 1], [2, 2]]


def test_an_edited_note_on_a_history_is_refused(settings: Settings) -> None:
    workspace, run, sha256 = Workspace(settings), Run.new(), "a" * 64
    file: Path = snapshots.path(settings.local, sha256).with_name(snapshots.ABOUT)
    file.parent.mkdir(parents=True)
    said = {"features": "shop/orders", "contents": {}, "until": "2024-04-30", "provisional": None}
    file.write_text(json.dumps(said))
    found = requests.history_of(workspace, sha256)
    assert found is not None and found["proof"].startswith("its file alone")
    about = snapshots.about(settings.local, sha256)
    assert about is not None
    workspace.ledger.decide(
        HISTORY, subject=sha256, subject_name="m/history", body={"about": about.sha256}, run_id=run.id,
        provenance=run.provenance,
    )  # fmt: skip
    found = requests.history_of(workspace, sha256)
    assert found is not None and found["proof"] == "ledger"
    file.write_text(json.dumps({**said, "until": "2024-05-31"}))
    with pytest.raises(PlatformError, match="what history aaaaaaaaaaaa was made from was changed after it was kept"):
        requests.history_of(workspace, sha256)
    file.write_text("{")
    with pytest.raises(PlatformError, match=r"about.json is damaged"):
        requests.history_of(workspace, sha256)


def test_a_clock_that_was_set_back_answers_for_no_time_before_the_entries_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, run = Workspace(settings), Run.new()
    for days, version in ((0, 1), (-60, 2), (1, 3)):
        monkeypatch.setattr("ml_platform.ledger.writing.now_utc", lambda days=days: NOON + timedelta(days=days))
        body = {"version": version, "service": str(version) * 64}
        workspace.ledger.decide(
            PROMOTION, subject=str(version) * 64, subject_name="m/champion", body=body, run_id=run.id,
            provenance=run.provenance,
        )  # fmt: skip
    with pytest.raises(MissingReference, match=r"no version had been promoted by 2024-03-10.*at 2024-05-01T12"):
        requests.at(workspace, "m", NOON - timedelta(days=52))
    then = requests.at(workspace, "m", NOON)
    assert (then.version, then.since) == (2, NOON), "it counts from the entry before it"
    assert requests.at(workspace, "m", NOON + timedelta(days=1)).version == 3
