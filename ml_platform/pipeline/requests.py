"""From one answer back: which rows were asked, what answered, with which history, made from which data."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ml_platform.datasets.batches import batch_tag
from ml_platform.datasets.store import NotFound
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline.workspace import Workspace

#: Columns of the log that make a request findable.
IDS = ("request_id", "client_request_id")


class Answered(NamedTuple):
    """The rows of one request, as the prediction log has them."""

    model: str
    #: A record per row: time, ids, version, package, history, features, inputs, prediction.
    rows: list[dict[str, Any]]


class Then(NamedTuple):
    """What answered for a model at some time."""

    version: int
    package_sha256: str
    #: When it was promoted.
    since: datetime


def log_folder(settings: Settings) -> Path:
    """Where services of this installation write what they answered."""
    return Path(settings.prediction_log or settings.local / "predictions")


def find(workspace: Workspace, models: Iterable[str], request: str) -> list[Answered]:
    """What was answered to a request, by our id or the caller's; several where the caller repeats its ids.

    Raises MissingReference where no log has it.
    """
    found = []
    for model in models:
        rows = [row for file in _files(log_folder(workspace.settings) / model) for row in _rows(file, request)]
        ids = dict.fromkeys(row["request_id"] for row in rows)
        found += [Answered(model, [row for row in rows if row["request_id"] == one]) for one in ids]
    if not found:
        raise MissingReference(
            f"no prediction log has the request {request!r}: it was refused, is not written yet "
            f"(ML_PLATFORM_PREDICTION_LOG_SECONDS) or has expired (ML_PLATFORM_PREDICTION_LOG_DAYS)"
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    """The files of a model's log, the newest day first; the first form had none of days."""
    yield from sorted(folder.glob("*/*.parquet"), reverse=True)
    yield from sorted(folder.glob("*.parquet"), reverse=True)


def _rows(file: Path, request: str) -> list[dict[str, Any]]:
    import polars as pl

    there = [name for name in IDS if name in pl.read_parquet_schema(file)]
    wanted = pl.any_horizontal(pl.col(name) == request for name in there)
    # The ids alone are read first: most files do not have it.
    if not pl.read_parquet(file, columns=there).select(wanted.any()).item():
        return []
    return pl.read_parquet(file).filter(wanted).sort("request_row").to_dicts()


def history_of(workspace: Workspace, sha256: str) -> dict[str, Any] | None:
    """What a history was made from, each content with the commit that published it; None where that is not known."""
    from ml_platform.serving import snapshots

    about = snapshots.about(workspace.settings.local, sha256) if sha256 else None
    if about is None:
        return None
    dataset = about["features"].partition("/")[0]
    data = [
        {"partition": name, "sha256": content, "commit": _commit(workspace, batch_tag(dataset, name, content))}
        for name, content in about["contents"].items()
    ]
    return {"sha256": sha256, "until": about["until"], "data": data, "provisional": about["provisional"]}


def _commit(workspace: Workspace, tag: str) -> str:
    try:
        return workspace.store.resolve(tag)
    except NotFound as error:
        return f"gone ({error})"


def at(workspace: Workspace, model: str, when: datetime) -> Then:
    """The version that answered at a time (aware), by the promotions in the ledger. Raises MissingReference."""
    entries = workspace.ledger.entries(subject_name=f"{model}/champion", kind="promotion")
    before = [entry for entry in entries if entry.at <= when]
    if not before:
        first = f"; the first version was promoted at {entries[0].at.isoformat()}" if entries else ""
        raise MissingReference(f"{model}: no version had been promoted by {when.isoformat()}{first}")
    last = before[-1]
    return Then(int(last.body["version"]), str(last.body.get("service", "")), last.at)
