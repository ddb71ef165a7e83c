"""How good answers were, once it is known what came of them: measured window by window, held against the evaluation.

A window is measured again where one of its days changed, and only then; see
:mod:`~ml_platform.pipeline.labelled_predictions`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import canonical_json, sha256_bytes, write_atomic
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import LIVE_PERFORMANCE
from ml_platform.live.performance import WHOLE, LiveRule, Window, judge, judged_metrics, newest
from ml_platform.pipeline import champions, labelled_predictions, logged_predictions, recorded_trainings
from ml_platform.pipeline.labelled_predictions import BRANCH, Joined, folder
from ml_platform.pipeline.labels import LABEL, SLICE
from ml_platform.pipeline.predictors import predictor
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import LiveRef, ManifestEntry, ModelRef

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.evaluation.intervals import Interval

#: Raised when the same rows give other numbers.
VERSION = 2
#: Fewest rows, and rows of either class, for the metrics of a group.
SUPPORT, POSITIVES = 100, 10

Usual = dict[str, dict[str, "Interval"]]


class Performance(NamedTuple):
    """What is known of a model's live performance."""

    ref: LiveRef
    windows: list[Window]


def key_of(model: str) -> str:
    """Name of a model's live performance, as of its asset."""
    return f"{model}/live_performance"


def update(workspace: Workspace, context: ModelContext, run: Run) -> Performance:
    """Join what is new with the labels that are published, measure what changed, and note what the windows come to.

    Raises MissingReference where no predictions were ingested.
    """
    model = context.model.name
    days = logged_predictions.require_stored(workspace.store, model, key_of(model))
    windows = _measure(workspace, context, labelled_predictions.join(workspace, context, days, run), run)
    _note(workspace, context, windows, run)
    objects = labelled_predictions.made(workspace, folder(model))
    rows, labelled = sum(one.predictions for one in windows), sum(one.labelled for one in windows)
    return Performance(logged_predictions.reference(workspace, model, BRANCH, objects, rows, run, labelled), windows)


def known(workspace: Workspace, model: str) -> list[Window]:
    """The windows as they were measured last, by time and version, as far as the ledger names them. Raises
    MissingReference where none was."""
    found = labelled_predictions.known(workspace, _windows_of(model))
    if not found:
        raise MissingReference(
            f"{key_of(model)}: it was never measured; the sensor live does so once a day of predictions is over, the "
            f"job {model}_live at once"
        )
    return [Window.model_validate(one) for one in found]


def seen(workspace: Workspace, model: str) -> dict[str, Any] | None:
    """What was noted last: ``version``, and of its windows ``statements``, each a status and a sentence."""
    entries = workspace.ledger.entries(subject_name=f"{model}/{LIVE_PERFORMANCE}", kind=LIVE_PERFORMANCE, newest=1)
    return entries[0].body if entries else None


class Statement(NamedTuple):
    """What the newest window of the version that answers comes to."""

    status: str
    said: str
    window: str = ""
    version: int = 0


def statement(workspace: Workspace, model: str) -> Statement:
    """What was noted last of the newest window of the version that answered then."""
    body = seen(workspace, model)
    if body is None or not body["statements"]:
        return Statement("unknown", "nothing was measured of the version that answers")
    window = max(body["statements"])
    status, said = body["statements"][window]
    return Statement(status, f"version {body['version']} from {window}: {said}", window, body["version"])


def about(workspace: Workspace, context: ModelContext, days: Mapping[str, str]) -> str:
    """Names what would be measured now, in few characters: these days of predictions, and what is published."""
    published = published_batches(workspace, context.outcomes.name)
    contents = {name: info.sha256 for name, info in published.items()}
    return sha256_bytes(canonical_json([dict(days), contents]))[:16]


def write_series(workspace: Workspace, context: ModelContext, windows: list[Window]) -> Path:
    """Write series of Prometheus where a collector of text files finds them; returns the file."""
    from ml_platform.documents.live import series

    name = context.model.name
    return write_atomic(workspace.settings.local / "metrics" / f"{name}.prom", series(name, windows))


def fallen(workspace: Workspace, context: ModelContext) -> str:
    """What is to be said where as many of the newest windows of the champion are below its evaluation as its
    declaration asks for (by default the newest one); else empty."""
    if (body := seen(workspace, context.model.name)) is None:
        return ""
    champion = champions.champion(workspace, context.model.name)
    if champion is None or body["version"] != champion.version:
        return ""
    rule = context.model.retrain.live_performance or LiveRule(below=1, windows=1)
    found = newest({name: status for name, (status, _) in body["statements"].items()}, rule)
    if len(found.below) < rule.below:
        return ""
    (_, said), counted = body["statements"][found.below[-1]], f"{len(found.below)} of the {len(found.windows)}"
    return f"version {champion.version} was below its evaluation in {counted} newest windows ({said})"


def _windows_of(model: str) -> str:
    return f"{folder(model)}windows/"


def _measure(workspace: Workspace, context: ModelContext, days: list[Joined], run: Run) -> list[Window]:
    """Every window; those are measured again of which a day changed."""
    import polars as pl

    model, place = context.model.name, _windows_of(context.model.name)
    among: dict[str, list[Joined]] = {}
    for day in days:
        for name in day.windows:
            among.setdefault(name, []).append(day)
    about = [VERSION, labelled_predictions.VERSION, context.model.decision_threshold]

    def measured(name: str) -> list[dict[str, Any]]:
        read = [labelled_predictions.read(workspace, one).filter(pl.col("window") == name) for one in among[name]]
        rows = pl.concat(read, how="diagonal_relaxed")
        return [
            _window(workspace, context, name, int(version), of_version, run).model_dump(mode="json")
            for (version,), of_version in sorted(rows.group_by("version"), key=lambda one: str(one[0]).zfill(12))
        ]

    windows = labelled_predictions.kept(
        workspace,
        place,
        {
            name: sha256_bytes(canonical_json([about, {one.path: one.sha256 for one in parts}]))
            for name, parts in sorted(among.items())
        },
        measured,
        lambda many: f"Live performance of {model} in {many} windows",
        run,
    )
    return [Window.model_validate(one) for of in windows.values() for one in of]


def _window(
    workspace: Workspace, context: ModelContext, name: str, version: int, rows: "pl.DataFrame", run: Run
) -> Window:
    """What a version was worth in a window. ``rows`` as :func:`joining.read` gives them."""
    import polars as pl

    from ml_platform.evaluation.intervals import intervals

    task = context.model.kind()
    known_rows = rows.filter(pl.col(LABEL).is_not_null()).rename({LABEL: "label"})
    y, p = known_rows["label"].to_numpy(), known_rows["prediction"].to_numpy().astype("float64")
    metrics: dict[str, Interval] = {}
    wanted = dict.fromkeys((*judged_metrics(task), *task.compared))
    if known_rows.height:
        metrics = intervals(task, y, p, known_rows["day"], wanted)
    window = Window(
        window=name,
        version=version,
        predictions=rows.height,
        labelled=known_rows.height,
        metrics=metrics,
        days=_days(context, rows, known_rows),
        slices={
            column: _groups(context, known_rows, f"{SLICE}{column}") for column in labelled_predictions.slices(context)
        },
        usual=_usual(workspace, context, version, run) if known_rows.height else {},
    )
    return judge(window)


def _days(context: ModelContext, rows: "pl.DataFrame", known_rows: "pl.DataFrame") -> list[dict[str, Any]]:
    import polars as pl

    from ml_platform.evaluation.tables import group_table

    measured: dict[str, dict[str, Any]] = {}
    if known_rows.height:
        table = group_table(known_rows, pl.col("day"), context.model.kind(), 1, 1)
        measured = {one["group"]: one for one in table}
    counts = rows.group_by("day").agg(predictions=pl.len(), labelled=pl.col(LABEL).is_not_null().sum()).sort("day")
    kept = {"group", "rows", "supported"}
    return [
        {"day": str(day), "predictions": count, "labelled": labelled}
        | {name: value for name, value in measured.get(str(day), {}).items() if name not in kept}
        for day, count, labelled in counts.iter_rows()
    ]


def _groups(context: ModelContext, rows: "pl.DataFrame", column: str) -> list[dict[str, Any]]:
    """Metrics of each group, with the bounds of what is judged first."""
    import polars as pl

    from ml_platform.evaluation.intervals import intervals
    from ml_platform.evaluation.tables import group_table

    if not rows.height:
        return []
    task = context.model.kind()
    metric, *_ = judged_metrics(task)
    found = group_table(rows, pl.col(column), task, SUPPORT, POSITIVES)
    for one in found:
        if one["supported"]:
            of_group = rows.filter(pl.col(column).fill_null("(missing)") == one["group"])
            p = of_group["prediction"].to_numpy().astype("float64")
            bounds = intervals(task, of_group["label"].to_numpy(), p, of_group["day"], [metric])
            if metric in bounds:
                one |= {metric: bounds[metric].value, "lower": bounds[metric].lower, "upper": bounds[metric].upper}
    return found


def _usual(workspace: Workspace, context: ModelContext, version: int, run: Run) -> Usual:
    """What is judged, on each partition of a version's holdout, measured as a window is; kept for each version. Of a
    refit it is that of the judged model: the refit has learned from it.

    Empty where the version predicts something else than is declared now, or is registered no more.
    """
    try:
        reference = workspace.registry.get(context.model.name, version).model_ref
    except MissingReference:
        return {}
    declared = (context.model.target, context.model.task, context.model.classes)
    if (reference.target, reference.task, reference.classes) != declared:
        return {}
    recorded_trainings.require_known(workspace, reference)
    key = sha256_bytes(
        canonical_json([VERSION, reference.sha256, reference.split.sha256, context.model.decision_threshold])
    )
    from ml_platform.evaluation.intervals import Interval

    def measured(_: str) -> dict[str, dict[str, Any]]:
        found = _on_holdout(workspace, context, reference.evaluated)
        return {name: {at: one.model_dump(mode="json") for at, one in of.items()} for name, of in found.items()}

    name = context.model.name
    kept: Mapping[str, Mapping[str, Any]] = labelled_predictions.kept(
        workspace,
        f"{folder(name)}versions/",
        {str(version): key},
        measured,
        lambda _: f"Holdout of {name} version {version} by partition",
        run,
    )[str(version)]
    return {name: {at: Interval.model_validate(one) for at, one in of.items()} for name, of in kept.items()}


def _on_holdout(workspace: Workspace, context: ModelContext, reference: ModelRef) -> Usual:
    """What is judged, on each partition of a holdout and on all of it."""
    import numpy as np
    import polars as pl

    from ml_platform.evaluation.intervals import intervals
    from ml_platform.features.build import matrix

    task, model = context.model.kind(), predictor(workspace, reference, workspace.settings.threads)
    found: Usual = {name: {} for name in judged_metrics(task)}
    measured: dict[str, Any] = {}
    for entry in reference.split.holdout:
        (frame,) = workspace.steps.evaluation_frames(workspace.store, (entry,))
        rows, y = task.labels(frame, reference.target)
        if rows.height:
            p = model.predict(matrix(rows, reference.features)).astype("float64")
            measured[entry.label] = y, p, _clusters(context, rows, entry)
    if not measured:
        return found
    each = [*measured.values()]
    whole = np.concatenate([y for y, _, _ in each]), np.concatenate([p for _, p, _ in each])
    measured[WHOLE] = *whole, pl.concat([clusters for _, _, clusters in each])
    for label, (y, p, clusters) in measured.items():
        for name, one in intervals(task, y, p, clusters, found).items():
            found[name][label] = one
    return found


def _clusters(context: ModelContext, rows: "pl.DataFrame", entry: ManifestEntry) -> "pl.Series":
    """Days; of data without time the groups by which it was divided, in some bundles."""
    import polars as pl

    from ml_platform.features.parts import bundles
    from ml_platform.foundation.times import days

    if context.function.time:
        return days(rows[context.function.time])
    return pl.Series(bundles(rows, entry.part)) if entry.part else pl.Series(range(rows.height))


def _note(workspace: Workspace, context: ModelContext, windows: list[Window], run: Run) -> None:
    """Note in the ledger what the windows of the champion come to, where that changed."""
    champion = champions.champion(workspace, context.model.name)
    if champion is None:
        return
    ours = [one for one in windows if one.version == champion.version]
    body = {"version": champion.version, "statements": {one.window: [one.status, one.said] for one in ours}}
    workspace.ledger.decide(
        LIVE_PERFORMANCE,
        subject=sha256_bytes(canonical_json(body)),
        subject_name=f"{context.model.name}/{LIVE_PERFORMANCE}",
        body=body,
        run_id=run.id,
        provenance=run.provenance,
    )
