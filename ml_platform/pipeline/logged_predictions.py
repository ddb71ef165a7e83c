"""The prediction log as data: its days that are over, in the store, without anything personal."""

import json
import tempfile
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.derived import commit_derived
from ml_platform.datasets.store import NotFound, ObjectInfo, VersionedStore
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.times import days as days_of
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import LiveRef
from ml_platform.rollout.pairs import log_folder
from ml_platform.serving.prediction_log import DAY

if TYPE_CHECKING:
    import polars as pl

BRANCH = "predictions"
#: Raised when the same log gives another file.
VERSION = 1
#: Days after its end in which a day of the log is looked at again: a service writes its last rows a moment later.
SETTLES = 2
#: Order in which the rows of a day are kept.
ORDER = ("predicted_at", "request_id", "request_row", "model_version")


class Day(NamedTuple):
    """A day of predictions in the store."""

    day: str
    path: str
    sha256: str
    rows: int
    #: First and last day of the events that were predicted.
    first: date
    last: date


def key_of(model: str) -> str:
    """Name of a model's predictions, as of their asset."""
    return f"{model}/predictions"


def prefix_of(model: str) -> str:
    """Where a model's predictions lie in the store."""
    return f"predictions/{model}/"


def ingest(workspace: Workspace, context: ModelContext, run: Run) -> LiveRef:
    """Bring the days of the prediction log that are over into the store, those that are not there or have grown.

    Columns that the schema marks as personal stay out; a key of them is there as a hash (``key_hmac_sha256``). A day
    that expires in the log stays in the store. Raises MissingReference where no day was ever over, and PlatformError
    for a file that cannot be read.
    """
    model = context.model.name
    with tempfile.TemporaryDirectory(prefix="predictions-") as folder:
        files: dict[str, Path] = {}
        labels: dict[str, dict[str, str]] = {}
        for day, fingerprint in pending(workspace, model).items():
            frame = _read(workspace, context, day)
            path = f"{prefix_of(model)}{day}.parquet"
            files[path] = Path(folder) / f"{day}.parquet"
            write_frame(frame, files[path])
            labels[path] = {"rows": str(frame.height), "files": fingerprint, **_events(frame, context, day)}
        message = f"Predictions of {model}: {', '.join(sorted(Path(path).stem for path in files))}"
        commit_derived(workspace.store, BRANCH, files, run, message, labels)
    there = _held(workspace.store, model)
    if not there:
        raise MissingReference(
            f"{key_of(model)}: no day of the prediction log is over ({log_folder(workspace.settings) / model}); ask "
            "the service, and ingest on the next day (UTC)"
        )
    return reference(workspace, model, BRANCH, there, sum(int(info.metadata["rows"]) for info in there.values()), run)


def reference(
    workspace: Workspace,
    model: str,
    branch: str,
    objects: Mapping[str, ObjectInfo],
    rows: int,
    run: Run,
    labelled: int = 0,
) -> LiveRef:
    """A reference to objects on a branch, by their paths."""
    contents = {path: info.sha256 for path, info in sorted(objects.items())}
    return LiveRef(
        run_id=run.id,
        provenance=run.provenance,
        model=model,
        branch=branch,
        commit=workspace.store.resolve(branch),
        sha256=sha256_bytes(canonical_json(contents)),
        contents=contents,
        rows=rows,
        labelled=labelled,
    )


def pending(workspace: Workspace, model: str) -> dict[str, str]:
    """Days of the log that are over and not in the store as they are, each with what tells that it grew."""
    folder, today = log_folder(workspace.settings) / model, workspace.now().date()
    over = sorted(path for path in folder.glob("*") if DAY.fullmatch(path.name) and path.name < today.isoformat())
    known = {Path(path).stem: info.metadata.get("files") for path, info in _held(workspace.store, model).items()}
    settled = (today - timedelta(days=SETTLES)).isoformat()
    found: dict[str, str] = {}
    for path in over:
        if path.name in known and path.name < settled:
            continue
        files = sorted((file.name, file.stat().st_size) for file in path.glob("*.parquet"))
        fingerprint = sha256_bytes(json.dumps(files))
        if files and known.get(path.name) != fingerprint:
            found[path.name] = fingerprint
    return found


def days(workspace: Workspace, model: str) -> dict[str, str]:
    """Every day that is in the store or over in the log, with what tells that it grew."""
    there = _held(workspace.store, model)
    return {Path(path).stem: info.metadata["files"] for path, info in there.items()} | pending(workspace, model)


def stored(store: VersionedStore, model: str) -> list[Day]:
    """The days of predictions in the store, in order."""
    return [
        Day(
            Path(path).stem,
            path,
            info.sha256,
            int(info.metadata["rows"]),
            date.fromisoformat(info.metadata["first"]),
            date.fromisoformat(info.metadata["last"]),
        )
        for path, info in sorted(_held(store, model).items())
    ]


def require_stored(store: VersionedStore, model: str, asset: str) -> list[Day]:
    """The days of predictions in the store, in order. Raises MissingReference where there are none."""
    days = stored(store, model)
    if not days:
        raise MissingReference(f"{asset}: no predictions are ingested; materialize {model}/predictions first")
    return days


def read(store: VersionedStore, day: Day) -> "pl.DataFrame":
    """The predictions of a day: columns of the prediction log, rows by time. Raises Corrupt."""
    return batches.read_at(store, BRANCH, day.path, day.sha256)


def _held(store: VersionedStore, model: str) -> dict[str, ObjectInfo]:
    return held(store, BRANCH, prefix_of(model))


def held(store: VersionedStore, branch: str, prefix: str) -> dict[str, ObjectInfo]:
    """Objects below a prefix of a branch, by path; none where the branch is not there."""
    try:
        return {info.path: info for info in store.list(branch, prefix)}
    except NotFound:
        return {}


def _read(workspace: Workspace, context: ModelContext, day: str) -> "pl.DataFrame":
    """The rows of a day of the log, by time; without columns that are personal."""
    import polars as pl

    frames = []
    for file in sorted((log_folder(workspace.settings) / context.model.name / day).glob("*.parquet")):
        try:
            frames.append(pl.read_parquet(file))
        except (OSError, pl.exceptions.PolarsError) as error:
            if not file.exists():
                continue  # it expired while the day was read
            raise PlatformError(
                f"{file} cannot be read ({type(error).__name__}); move it away, and its rows are missing in what is "
                "said of live performance"
            ) from error
    # Versions of a model may have been asked for other columns.
    frame = pl.concat(frames, how="diagonal_relaxed").drop(context.dataset.private(), strict=False)
    return frame.sort([name for name in ORDER if name in frame.columns], maintain_order=True)


def _events(frame: "pl.DataFrame", context: ModelContext, day: str) -> dict[str, str]:
    """First and last day of the events: of the column with their time, else the day they were asked on."""
    found = event_days(frame, context)
    first, last = found.min(), found.max()
    return {"first": str(first or day), "last": str(last or day)}


def event_days(frame: "pl.DataFrame", context: ModelContext) -> "pl.Series":
    """The day of each row's event, (rows,): of its column of time, else the one on which it was asked for."""
    time = context.function.time
    column = time if time in frame.columns else "predicted_at"
    return days_of(frame[column]).alias("day")
