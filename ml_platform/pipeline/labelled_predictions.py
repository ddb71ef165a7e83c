"""Predictions with what came of them, day by day: joined again where a day or its labels changed, and only there.

What is known of models in use lies on a branch where whoever can write to the store can put other content: what the
ledger does not name is made again, and read by nobody.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.derived import commit_derived
from ml_platform.datasets.store import ObjectInfo
from ml_platform.declarations.context import ModelContext
from ml_platform.features.build import rows_of
from ml_platform.foundation.errors import Corrupt
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file, write_atomic
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.live.performance import window_of
from ml_platform.pipeline import logged_predictions, recorded_derivations
from ml_platform.pipeline.labels import LABEL, SLICE, Labels, slices_of
from ml_platform.pipeline.logged_predictions import Day
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.workspace import Workspace
from ml_platform.serving.prediction_log import PREDICTION, PROBABILITIES

if TYPE_CHECKING:
    import polars as pl

BRANCH = "live"
#: Raised when the same predictions and labels are joined otherwise.
VERSION = 1

_log = logging.getLogger(__name__)


class Joined(NamedTuple):
    """A day of predictions with their labels, in the store."""

    path: str
    sha256: str
    #: Windows that its events belong to, by their first days.
    windows: tuple[str, ...]


def folder(model: str) -> str:
    """Where what is known of a model in use lies in the store."""
    return f"live/{model}/"


def slices(context: ModelContext) -> tuple[str, ...]:
    """The columns of the gates `slices`, without those that are personal."""
    gates = [gate for gate in context.model.gates_of("evaluation") if gate.gate == "slices"]
    wanted = {name for gate in gates for name in gate.columns or context.function.slices} - context.dataset.private()
    return tuple(name for name in context.function.slices if name in wanted)


def join(workspace: Workspace, context: ModelContext, days: Sequence[Day], run: Run) -> list[Joined]:
    """The days with their labels, as far as they are published."""
    labels = Labels(workspace, context, context.model.kind(), slices(context))
    place = f"{folder(context.model.name)}days/"
    code = materializer_of(workspace, context.feature_set, context.dataset).code
    model = context.model
    partitions = context.dataset.partitions.model_dump(mode="json")
    about = [VERSION, code, model.target, model.task, model.classes, labels.slices, labels.by, partitions]
    about += [labels.dataset.name] * (context.labels is not None)
    there = made(workspace, place)
    files: dict[str, Path] = {}
    metadata: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="joined-") as temporary:
        for day in days:
            contents, path = labels.contents(day.first, day.last), f"{place}{day.day}.parquet"
            key = sha256_bytes(canonical_json([about, day.sha256, contents]))
            if path in there and there[path].metadata.get("key") == key:
                continue
            frame = _joined(logged_predictions.read(workspace.store, day), context, labels, contents)
            files[path] = Path(temporary) / f"{day.day}.parquet"
            write_frame(frame, files[path])
            windows = sorted(frame["window"].unique().to_list())
            metadata[path] = {"key": key, "rows": str(frame.height), "windows": ",".join(windows)}
        commit(workspace, files, metadata, f"Labels of {len(files)} days of {model.name}", run)
    found = made(workspace, place)
    paths = [f"{place}{day.day}.parquet" for day in days]
    return [Joined(path, found[path].sha256, tuple(found[path].metadata["windows"].split(","))) for path in paths]


def read(workspace: Workspace, day: Joined) -> "pl.DataFrame":
    """A day: ``day`` of the event, its ``window``, ``version``, ``role``, ``prediction``, label and slices."""
    return batches.read_at(workspace.store, BRANCH, day.path, day.sha256)


def made(workspace: Workspace, prefix: str) -> dict[str, ObjectInfo]:
    """Objects below a prefix that were made here last, by path; any other, an old one too, is named in the log."""
    there = logged_predictions.held(workspace.store, BRANCH, prefix)
    known = recorded_derivations.of(workspace, there)
    found = {path: info for path, info in there.items() if known.newest(path, info.sha256, info.metadata)}
    for path, info in there.items():
        if path not in found:
            _log.warning(
                "%s: the ledger names no making of this content (%s) as the newest; it is not used",
                path,
                info.sha256[:12],
            )
    return found


def commit(
    workspace: Workspace, files: Mapping[str, Path], metadata: Mapping[str, Mapping[str, str]], message: str, run: Run
) -> None:
    """Bring files onto the branch of what is known of models in use, in the ledger first; nothing where there are
    none."""
    recorded_derivations.note(
        workspace, {path: (sha256_file(file), metadata[path]) for path, file in files.items()}, run, newest=True
    )
    commit_derived(workspace.store, BRANCH, files, run, message, metadata)


def kept(
    workspace: Workspace,
    place: str,
    keys: Mapping[str, str],
    make: Callable[[str], Any],
    said: Callable[[int], str],
    run: Run,
) -> dict[str, Any]:
    """What the JSON objects of these names below a place hold, in their order; ``make`` gives it where there is none
    of the name's key. ``said`` is the message of the commit that brings so many."""
    there = made(workspace, place)
    found: dict[str, Any] = {}
    files: dict[str, Path] = {}
    metadata: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="live-") as temporary:
        for name, key in keys.items():
            path = f"{place}{name}.json"
            if path in there and there[path].metadata.get("key") == key:
                found[name] = read_json(workspace, there[path])
                continue
            content = canonical_json(make(name))
            found[name] = json.loads(content)
            files[path] = write_atomic(Path(temporary) / f"{name}.json", content)
            metadata[path] = {"key": key}
        commit(workspace, files, metadata, said(len(files)), run)
    return found


def known(workspace: Workspace, place: str) -> list[Any]:
    """What the lists in the JSON objects below a place hold, as they were kept last, one after the other."""
    found = made(workspace, place)
    return [one for path in sorted(found) for one in read_json(workspace, found[path])]


def read_json(workspace: Workspace, info: ObjectInfo) -> Any:
    """What a JSON object holds. Raises Corrupt where another content has come since."""
    with workspace.store.open(BRANCH, info.path) as stream:
        content = stream.read()
    if sha256_bytes(content) != info.sha256:
        raise Corrupt(f"{info.path} is another content than {info.sha256[:12]}, which was made here; try again")
    return json.loads(content)


def _joined(
    frame: "pl.DataFrame", context: ModelContext, labels: Labels, contents: Mapping[str, str]
) -> "pl.DataFrame":
    import polars as pl

    # A request that a router sent twice is one.
    frame = frame.unique(["request_id", "request_row", "model_version"], keep="first", maintain_order=True)
    function, names = context.function, [f"{SLICE}{name}" for name in labels.slices]
    day = logged_predictions.event_days(frame, context)
    partitions = context.dataset.partitions
    windows = {one: window_of(partitions, one).isoformat()[:10] for one in day.unique()}
    result = frame.select(
        day,
        day.replace_strict(windows, return_dtype=pl.String).alias("window"),
        pl.col("model_version").alias("version"),
        pl.col("request_role").alias("role"),
        pl.col(PROBABILITIES if context.model.classes else PREDICTION).alias("prediction"),
    )
    # Where a part of the inputs is personal, the slices are those of the rows that came back as data.
    whole = set(function.inputs) <= set(frame.columns)
    if whole:
        result = result.hstack(rows_of(function, frame.select(function.inputs)).select(slices_of(labels.slices)))
    missing = [] if whole else names
    if not contents or not set(labels.by) <= set(frame.columns):
        empty = {LABEL: pl.Float64(), **dict.fromkeys(missing, pl.String())}
        return result.with_columns(pl.lit(None, kind).alias(name) for name, kind in empty.items())
    given = labels.frame(contents).select(*labels.by, LABEL, *missing)
    keys = frame.select(pl.col(name).cast(given.schema[name], strict=False) for name in labels.by)
    found = keys.join(given, on=list(labels.by), how="left", maintain_order="left", nulls_equal=True)
    return result.hstack(found.select(LABEL, *missing))
