"""Scores of a table that is no partition of the store: held to what a service would take, by what answers now."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.times import days
from ml_platform.gates.verdict import Verdict
from ml_platform.pipeline import scores, snapshot
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.predictors import predictor
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef
from ml_platform.sources.table_file import content_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_platform.features.history import History
    from ml_platform.rollout.record import Backend
    from ml_platform.serving.schema import RequestSchema

#: Names of the verdicts on a table: that it is what a request may be, and that single rows get the same features.
INPUT, PARITY = "scores_input", "scores_parity"
#: Raised when the same table is judged otherwise.
VERSION = 1


def name_of(sha256: str) -> str:
    """Name under which the scores of a table are kept, in place of that of a partition."""
    return f"{scores.TABLE}-{sha256[:12]}"


def score(workspace: Workspace, context: ModelContext, where: str, run: Run) -> DatasetRef:
    """Predictions of the version that answers on the rows of a CSV or Parquet file, with the history that it has.

    ``where``: a path, or an address of fsspec. Kept, judged and named as scores of a partition are; the reference is
    saved. Raises PlatformError for a file that cannot be read, MissingReference where no version answers, and Refused,
    by name, where the rows are none that a service would take (or it would refuse them for the age of its history),
    where a row by itself gets other features, or where predictions are distributed otherwise than in the evaluation.
    """
    from ml_platform.serving import bundle

    by = scores.answering(workspace, context)
    backend = snapshot.answering(workspace, context.model.name)
    files = workspace.settings.local / backend.path / bundle.SOURCE / bundle.FOLDER
    _, request = bundle.read_of(workspace.settings.local / backend.path, backend.sha256)
    snapshot.require_code(by.config, materializer_of(workspace, context.feature_set, context.dataset))
    content = content_of(where)
    sha256 = sha256_bytes(content)
    judge = partial(_judge, workspace, f"{scores.key_of(context.model.name)}/{name_of(sha256)}", sha256, run)
    history, history_sha256 = _history(workspace, context, backend, files / bundle.HISTORY, by.config.history_sha256)
    raw = _checked(context, request, by.config.known, content, where, judge)
    _require_recent(context, by.config.stale, raw, history, judge)
    inputs = {
        scores.TABLE: sha256,
        "history": history_sha256,
        f"{context.model.name}@{by.version.version}": by.version.sha256,
        f"{context.model.name}/service": by.package,
    }

    def make() -> "pl.DataFrame":
        features = _features(context, raw, history, by.version.model_ref.features, judge)
        model = predictor(workspace, by.version.model_ref, workspace.settings.threads)
        return scores.with_key(context, raw, model.predict(features), by.config)

    ref = scores.kept(workspace, context, by, name_of(sha256), inputs, make, run)
    workspace.references.save(ref.dataset, ref.partition, ref)
    return ref


def _checked(
    context: ModelContext,
    request: "RequestSchema",
    known: Mapping[str, tuple[str, ...]],
    content: bytes,
    where: str,
    judge: "partial[None]",
) -> "pl.DataFrame":
    """The rows as the feature function gets them; ``known`` are the texts that training has seen."""
    from ml_platform.serving.arrow import checked
    from ml_platform.serving.known import Known, told
    from ml_platform.serving.refusals import BadValue
    from ml_platform.sources.table_file import read_table_file

    asked = {field.name: request.types[field.name] for field in request.asked}
    frame, read = read_table_file(content, where, context.dataset.source, asked)
    try:
        if not frame.height:
            raise PlatformError("the table has no rows")
        raw = checked(request, frame)
    except PlatformError as error:
        judge(INPUT, error.in_table() if isinstance(error, BadValue) else str(error), 1.0, frame.height)
        raise AssertionError from error  # a verdict that failed has raised
    new = told(Known(known).unseen(raw))
    judge(INPUT, f"{frame.height} rows are what a request may be{_said(read)}{new and '; '}{new}", 0.0, frame.height)
    return raw


def _said(read: Mapping[str, Any]) -> str:
    """How a file was read that is not written as its source declares."""
    return f" (read with {', '.join(f'{key} {value!r}' for key, value in read.items())})" if read else ""


def _history(
    workspace: Workspace, context: ModelContext, backend: "Backend", packaged: Path, sha256: str
) -> "tuple[History, str]":
    """The history that the processes of the package answer from, and its hash."""
    from ml_platform.features.history import History
    from ml_platform.foundation.files import sha256_file
    from ml_platform.serving import snapshots

    wanted = backend.snapshot or sha256
    file = snapshots.path(workspace.settings.local, backend.snapshot) if backend.snapshot else packaged
    if not file.is_file() or sha256_file(file) != wanted:
        raise PlatformError(f"history {file} is not what it was; make it again with ml-platform refresh")
    return History.load(context.function, file), wanted


def _require_recent(
    context: ModelContext, stale: str, raw: "pl.DataFrame", history: "History", judge: "partial[None]"
) -> None:
    """Refuse rows that a service would refuse, since its history is older than declared for them."""
    function = context.function
    newest = days(raw[function.time]).max() if function.histories and function.time else None
    if newest is None or stale != "refuse" or not history.behind(newest):  # type: ignore[arg-type]
        return
    needed = history.newest(newest)  # type: ignore[arg-type]
    why = f"{newest} needs outcomes up to {needed}, the history ends on {history.until}; ml-platform refresh"
    judge(INPUT, why, 1.0, raw.height)


def _features(
    context: ModelContext, raw: "pl.DataFrame", history: "History", names: tuple[str, ...], judge: "partial[None]"
) -> "np.ndarray":
    """The matrix of all rows; single rows, as a service gets them, must have the same bits."""
    import polars as pl

    from ml_platform.features.build import featurize, matrix
    from ml_platform.features.checks import parity
    from ml_platform.features.contract import feature_names

    order = feature_names(context.function)
    built = pl.DataFrame(featurize(context.function, raw, history), schema=dict.fromkeys(order, pl.Float32))
    built = raw.select(context.function.key).hstack(built)
    found = parity(context.function, raw, history, names, built)
    said = found.error or ", ".join(found.different) or "bit-equal"
    judge(PARITY, f"{found.rows} rows one by one: {said}", 0.0 if found.equal else 1.0, found.rows)
    return matrix(built, names)


def _judge(
    workspace: Workspace, about: str, sha256: str, run: Run, gate: str, reason: str, observed: float, support: int
) -> None:
    """Record a verdict on a table. Raises Refused where it holds back."""
    verdict = Verdict(
        gate=gate,
        stage="scores",
        subject=sha256,
        subject_name=about,
        status="failed" if observed else "passed",
        blocking=True,
        observed=observed,
        threshold="at most 0",
        declaration=sha256_bytes(canonical_json([gate, VERSION])),
        reason=reason,
        support=support,
    )
    workspace.ledger.record([verdict], run_id=run.id, provenance=run.provenance)
    (judged,) = [verdict] if gate == INPUT else workspace.ledger.with_overrides([verdict])
    if judged.holds_back:
        raise Refused(f"{about} ({sha256[:12]}): held back by {gate} ({reason})")
