"""What a model was asked and what it answered, beside what it learned from and was evaluated on; no label is needed.

A window is measured again where one of its days changed, and only then.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import folder as reports
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import canonical_json, sha256_bytes, write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import LIVE_DRIFT
from ml_platform.live.drift_rule import DriftRule
from ml_platform.live.performance import window_of
from ml_platform.live.traffic import LEAST_ROWS, Statement, TrafficWindow, judge
from ml_platform.pipeline import champions, expecting, labelled_predictions, logged_predictions, recorded_trainings
from ml_platform.pipeline.labelled_predictions import BRANCH, folder
from ml_platform.pipeline.logged_predictions import Day
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import LiveRef, ModelRef
from ml_platform.serving.prediction_log import PREDICTION, PROBABILITIES

if TYPE_CHECKING:
    import polars as pl


#: Raised when the same rows give other numbers.
VERSION = 1


class LiveDrift(NamedTuple):
    """What is known of a model's traffic."""

    ref: LiveRef
    windows: list[TrafficWindow]


def key_of(model: str) -> str:
    """Name of the drift of a model in use, as of its asset."""
    return f"{model}/{LIVE_DRIFT}"


def update(workspace: Workspace, context: ModelContext, run: Run) -> LiveDrift:
    """Measure the windows of which a day changed, and note what those of the champion come to.

    Raises MissingReference where no predictions were ingested.
    """
    model, place = context.model.name, _windows_of(context.model.name)
    days = logged_predictions.require_stored(workspace.store, model, key_of(model))
    among = _by_window(context, days)
    windows = labelled_predictions.kept(
        workspace,
        place,
        {name: _key(context, of) for name, of in among.items()},
        lambda name: [one.model_dump(mode="json") for one in _measured(workspace, context, name, among[name])],
        lambda many: f"Drift of what {model} was asked in {many} windows",
        run,
    )
    found = [TrafficWindow.model_validate(one) for of in windows.values() for one in of]
    _note(workspace, context, found, run)
    objects = labelled_predictions.made(workspace, place)
    rows = sum(one.rows for one in found)
    return LiveDrift(logged_predictions.reference(workspace, model, BRANCH, objects, rows, run), found)


def known(workspace: Workspace, model: str) -> list[TrafficWindow]:
    """The windows as they were measured last, by time and version; none where none was."""
    return [TrafficWindow.model_validate(one) for one in labelled_predictions.known(workspace, _windows_of(model))]


def seen(workspace: Workspace, model: str) -> dict[str, Any] | None:
    """What was noted last: ``version``, ``status``, a sentence, ``said``, and ``window``; None where nothing was."""
    entries = workspace.ledger.entries(subject_name=key_of(model), kind=LIVE_DRIFT, newest=1)
    return entries[0].body if entries else None


def statement(workspace: Workspace, model: str) -> Statement:
    """What was noted last of the version that answered then."""
    body = seen(workspace, model)
    if body is None:
        return Statement("unknown", "what it was asked was never compared")
    return Statement(body["status"], f"version {body['version']}: {body['said']}", body["window"], body["version"])


def write_series(workspace: Workspace, context: ModelContext, windows: Sequence[TrafficWindow]) -> Path:
    """Write series of Prometheus where a collector of text files finds them; returns the file."""
    from ml_platform.documents.traffic import series

    name = context.model.name
    return write_atomic(workspace.settings.local / "metrics" / f"{name}_drift.prom", series(name, windows))


def write_report(workspace: Workspace, context: ModelContext, windows: Sequence[TrafficWindow]) -> Path | None:
    """Evidently's report on the newest window that is over: what was asked beside what that version learned from.

    By samples, without personal columns; written once for its content. None where no such window has enough rows.
    """
    from ml_platform.documents.drift_report import ROWS, write

    open_ = _open(workspace, context)
    compared = [one for one in windows if one.inputs and one.window != open_]
    if not compared:
        return None
    newest = compared[-1]
    reference = _trained(workspace, context, newest.version)
    days = _by_window(context, logged_predictions.stored(workspace.store, context.model.name))[newest.window]
    name = f"{context.model.name}-live-drift-{newest.window}-{newest.version}-{_key(context, days)[:12]}.html"
    path = reports(workspace.settings) / name
    if reference is None or path.exists():
        return path if path.exists() else None
    asked = _rows(workspace, context, newest.window, days)[newest.version]
    columns = [name for name in newest.inputs if name not in context.dataset.private()]
    learned = expecting.learned_inputs(workspace, context, reference)
    usual, now = (
        frame.select(columns).sample(min(frame.height, ROWS // 2), seed=0)
        for frame in (learned, _like(learned, asked, columns))
    )
    write(usual, now, path)
    return path


def _open(workspace: Workspace, context: ModelContext) -> str:
    """The window that is not over."""
    return window_of(context.dataset.partitions, workspace.now().date()).isoformat()[:10]


def _windows_of(model: str) -> str:
    return f"{folder(model)}drift/"


def _by_window(context: ModelContext, days: Sequence[Day]) -> dict[str, list[Day]]:
    """Days of the log by the windows that their events may belong to, in order."""
    found: dict[str, list[Day]] = {}
    partitions = context.dataset.partitions
    for day in days:
        at = day.first
        while at <= day.last:
            name = window_of(partitions, at).isoformat()[:10]
            among = found.setdefault(name, [])
            if not among or among[-1] != day:
                among.append(day)
            at += timedelta(days=1)
    return dict(sorted(found.items()))


def _key(context: ModelContext, days: Sequence[Day]) -> str:
    model = context.model
    about = [VERSION, model.target, model.task, model.classes, context.dataset.partitions.model_dump(mode="json")]
    return sha256_bytes(canonical_json([about, sorted(context.names), {day.path: day.sha256 for day in days}]))


def _rows(workspace: Workspace, context: ModelContext, window: str, days: Sequence[Day]) -> "dict[int, pl.DataFrame]":
    """The rows that were asked in a window, by version; a request that a router sent twice is one."""
    import polars as pl

    partitions = context.dataset.partitions
    parts: list[pl.DataFrame] = []
    for day in days:
        frame = logged_predictions.read(workspace.store, day)
        at = logged_predictions.event_days(frame, context)
        names = {one: window_of(partitions, one).isoformat()[:10] for one in at.unique().drop_nulls()}
        where = at.replace_strict(names, default=None, return_dtype=pl.String)
        parts.append(frame.with_columns(at.alias("(day)")).filter(where == window))
    rows = pl.concat(parts, how="diagonal_relaxed").unique(["request_id", "request_row", "model_version"], keep="first")
    return {int(str(version)): of for (version,), of in sorted(rows.group_by("model_version"), key=lambda one: one[0])}


def _measured(workspace: Workspace, context: ModelContext, window: str, days: Sequence[Day]) -> list[TrafficWindow]:
    return [
        _window(workspace, context, window, version, rows)
        for version, rows in _rows(workspace, context, window, days).items()
    ]


def _window(
    workspace: Workspace, context: ModelContext, window: str, version: int, rows: "pl.DataFrame"
) -> TrafficWindow:
    from ml_platform.validation.drift import drifted_columns

    at = rows["(day)"]
    found = TrafficWindow(window=window, version=version, rows=rows.height, first=str(at.min()), last=str(at.max()))
    if rows.height < LEAST_ROWS:
        return found
    reference = _trained(workspace, context, version)
    if reference is None:
        return found.model_copy(update={"why": f"version {version} is registered no more"})
    if why := expecting.differs(context, reference):
        return found.model_copy(update={"why": f"version {version} {why}"})
    learned = expecting.learned_inputs(workspace, context, reference)
    columns = [name for name in expecting.compared_columns(learned, context) if name in rows.columns]
    usual = expecting.held_out(workspace, context, reference.evaluated)[expecting.PREDICTION]
    now = rows[PROBABILITIES if context.model.classes else PREDICTION]
    return found.model_copy(
        update={
            "inputs": drifted_columns(learned, _like(learned, rows, columns), columns),
            "outputs": expecting.moved(usual, now),
        }
    )


def _like(learned: "pl.DataFrame", rows: "pl.DataFrame", columns: Sequence[str]) -> "pl.DataFrame":
    """The columns of rows in the types of those that were learned from: a log is as wide as its widest day."""
    import polars as pl

    return rows.select(pl.col(name).cast(learned.schema[name], strict=False) for name in columns)


def _trained(workspace: Workspace, context: ModelContext, version: int) -> ModelRef | None:
    """The model of a version; None where it is registered no more. Raises PlatformError where its record was edited."""
    try:
        reference = workspace.registry.get(context.model.name, version).model_ref
    except MissingReference:
        return None
    recorded_trainings.require_known(workspace, reference)
    return reference


def _note(workspace: Workspace, context: ModelContext, windows: Sequence[TrafficWindow], run: Run) -> None:
    """Note in the ledger what the windows of the champion come to, where that changed."""
    champion = champions.champion(workspace, context.model.name)
    if champion is None:
        return
    ours = [one for one in windows if one.version == champion.version]
    found = judge(ours, context.model.drift or DriftRule(), _open(workspace, context))
    body = found._asdict() | {"version": champion.version}
    workspace.ledger.decide(
        LIVE_DRIFT,
        subject=sha256_bytes(canonical_json(body)),
        subject_name=key_of(context.model.name),
        body=body,
        run_id=run.id,
        provenance=run.provenance,
    )
