"""From one answer back: which rows were asked, what answered, with which history, made from which data."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ml_platform.datasets.batches import batch_tag
from ml_platform.datasets.store import NotFound
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.ledger.kinds import HISTORY, PROMOTION
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.pairs import log_folder

#: Columns of the log that make a request findable; the first is ours.
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


def find(workspace: Workspace, models: Iterable[str], request: str) -> list[Answered]:
    """What was answered to a request, by our id, else by the caller's; several where the caller repeats its ids.

    An id of ours that a caller sent as its own later finds the answer that has it. Raises MissingReference where no
    log has it.
    """
    logs = [(model, _files(log_folder(workspace.settings) / model)) for model in models]
    found: list[Answered] = []
    for name in IDS:
        for model, files in logs:
            rows = [row for file in files for row in _rows(file, name, request)]
            found += [Answered(model, answer) for answer in _answers(rows)]
        if found:
            return found
    raise MissingReference(
        f"no prediction log has the request {request!r}: it was refused, is not written yet "
        f"(ML_PLATFORM_PREDICTION_LOG_SECONDS) or has expired (ML_PLATFORM_PREDICTION_LOG_DAYS)"
    )


def _answers(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each answer: one id may have several, of a copied request or of a caller that chose it."""
    answers: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        answers.setdefault((row["request_id"], row["model_version"], row["predicted_at"]), []).append(row)
    return [*answers.values()]


def _files(folder: Path) -> list[Path]:
    """The files of a model's log, the newest day first; the first form had none of days."""
    return sorted(folder.glob("*/*.parquet"), reverse=True) + sorted(folder.glob("*.parquet"), reverse=True)


def _rows(file: Path, name: str, request: str) -> list[dict[str, Any]]:
    import polars as pl

    if name not in pl.read_parquet_schema(file):
        return []
    wanted = pl.col(name) == request
    # The ids alone are read first: most files do not have it.
    if not pl.read_parquet(file, columns=[name]).select(wanted.any()).item():
        return []
    return pl.read_parquet(file).filter(wanted).sort("request_row").to_dicts()


def history_of(workspace: Workspace, sha256: str) -> dict[str, Any] | None:
    """What a history was made from, each content with the commit that published it; None where that is not known.

    ``proof`` says whether the ledger has the note that tells it: ``ledger``, or why not. Raises PlatformError for a
    note that was changed.
    """
    from ml_platform.serving import snapshots

    found = snapshots.about(workspace.settings.local, sha256) if sha256 else None
    if found is None:
        return None
    about, told = found.said, workspace.ledger.entries(subject=sha256, kind=HISTORY)
    if told and told[-1].body["about"] != found.sha256:
        raise PlatformError(
            f"what history {sha256[:12]} was made from was changed after it was kept (the ledger has another hash of "
            f"{snapshots.path(workspace.settings.local, sha256).with_name(snapshots.ABOUT)}); restore it from a backup"
        )
    dataset = about["features"].partition("/")[0]
    data = [
        {"partition": name, "sha256": content, "commit": _commit(workspace, batch_tag(dataset, name, content))}
        for name, content in about["contents"].items()
    ]
    proof = "ledger" if told else "its file alone: made before the ledger had it"
    return {
        "sha256": sha256,
        "until": about["until"],
        "data": data,
        "provisional": about["provisional"],
        "proof": proof,
    }


def _commit(workspace: Workspace, tag: str) -> str:
    try:
        return workspace.store.resolve(tag)
    except NotFound as error:
        return f"gone ({error})"


def at(workspace: Workspace, model: str, when: datetime) -> Then:
    """The version that answered at a time (aware), by the promotions in the ledger. Raises MissingReference.

    A promotion counts from the newest time of the entries up to it, so that a clock that was set back rewrites no past.
    """
    entries = workspace.ledger.entries(subject_name=f"{model}/champion", kind=PROMOTION)
    times = workspace.ledger.chain().times
    since = [times.since(entry.sequence, entry.at) for entry in entries]
    before = [place for place, moment in enumerate(since) if moment <= when]
    if not before:
        first = f"; the first version was promoted at {since[0].isoformat()}" if entries else ""
        raise MissingReference(f"{model}: no version had been promoted by {when.isoformat()}{first}")
    last = entries[before[-1]]
    return Then(int(last.body["version"]), str(last.body.get("service", "")), since[before[-1]])
