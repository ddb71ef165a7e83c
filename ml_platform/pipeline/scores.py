"""Scores of whole partitions by the version that answers: judged, and in the store with what they were made from."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.derived import commit_derived
from ml_platform.datasets.store import NotFound, ObjectInfo
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import SCORES_DISTRIBUTION
from ml_platform.pipeline import approval, published_verdicts, recorded_derivations, recorded_trainings, snapshot
from ml_platform.pipeline.champions import promoted
from ml_platform.pipeline.data import inspect_features
from ml_platform.pipeline.judging import feature_gates, require
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.predictors import predictor
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, VersionRef
from ml_platform.rollout.record import by_chance

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_platform.serving.bundle import ServiceConfig

#: Derived data like features, but read by others: only scores that passed are committed.
BRANCH = "scores"
#: Name of the input that is a table of somebody's, and no partition.
TABLE = "table"
#: Raised when the same model and features give another file or another judgement.
VERSION = 1


def key_of(model: str) -> str:
    """Name of a model's scores, as of its asset."""
    return f"{model}/scores"


def path_of(model: str, partition: str) -> str:
    """Path of a partition's scores in the store."""
    return f"scores/{model}/{partition}.parquet"


def score(workspace: Workspace, context: ModelContext, features: DatasetRef, run: Run) -> DatasetRef:
    """Predictions of the version that answers on one partition's features; what is there for the same is adopted.

    A row for each row of the partition: key and time of the feature set, ``prediction`` (of several classes one
    probability each, in the order of the classes), and ``decision`` where the package decides. The features must be
    those of what is published and let pass by every gate on batch and features, and made by the code that the package
    has. Raises MissingReference where no version answers, Stale for features of other content, and Refused by the name
    of the gate that holds features or scores back: then nothing is committed.
    """
    config, version, package = answering(workspace, context)
    _require_features(workspace, context, features, config, run)
    name = key_of(context.model.name)
    inputs = {
        f"{features.dataset}/{features.partition}": features.sha256,
        **features.inputs,
        f"{name.partition('/')[0]}@{version.version}": version.sha256,
        f"{name.partition('/')[0]}/service": package,
    }
    return kept(
        workspace,
        context,
        Answering(config, version, package),
        features.partition,
        inputs,
        lambda: _scored(workspace, context, features, version, config),
        run,
    )


def kept(
    workspace: Workspace,
    context: ModelContext,
    by: "Answering",
    partition: str,
    inputs: dict[str, str],
    make: "Callable[[], pl.DataFrame]",
    run: Run,
) -> DatasetRef:
    """Scores by what answers, judged and committed under the name of a partition; what is there for the same inputs
    is adopted, else ``make`` gives it. Raises Refused where they are distributed otherwise than in the evaluation."""
    config, version, package = by
    name, path, store = key_of(context.model.name), path_of(context.model.name, partition), workspace.store
    made = sha256_bytes(canonical_json([inputs, config.decision_threshold, _limit(context), VERSION]))
    known, about = _stat(workspace, path), f"{name}/{partition}"
    if known is not None and known.metadata.get("key") == made and _made_here(workspace, about, known, inputs):
        # One of an earlier release is named from now on.
        recorded_derivations.note(workspace, {about: (known.sha256, known.metadata)}, run)
    else:
        with tempfile.TemporaryDirectory(prefix="scores-") as folder:
            frame = make()
            file = Path(folder) / "scores.parquet"
            write_frame(frame, file)
            sha256, rows = sha256_file(file), frame.height
            _require_usual(workspace, context, version, frame, about, sha256, inputs, run)
            labels = {"key": made, "rows": str(rows), "version": str(version.version), "package": package}
            said = f"Scores of {partition} by {context.model.name} version {version.version}"
            more = {"inputs": json.dumps(inputs, sort_keys=True)}
            recorded_derivations.note(workspace, {about: (sha256, labels)}, run)
            commit_derived(store, BRANCH, {path: file}, run, said, {path: labels}, more=more)
            known = store.stat(BRANCH, path)
    return DatasetRef(
        run_id=run.id,
        provenance=run.provenance,
        dataset=name,
        partition=partition,
        branch=BRANCH,
        commit=store.resolve(BRANCH),
        path=path,
        sha256=known.sha256,
        rows=int(known.metadata["rows"]),
        inputs=inputs,
    )


def _made_here(workspace: Workspace, about: str, info: ObjectInfo, inputs: dict[str, str]) -> bool:
    return recorded_derivations.of(workspace, [about]).known(about, info, inputs)


def verdicts_on(workspace: Workspace, ref: DatasetRef) -> list[Verdict]:
    """The verdicts by which scores were committed, with the overrides that hold now."""
    about = f"{ref.dataset}/{ref.partition}"
    # Those of a table are on what was scored, too.
    subjects = (ref.inputs.get(TABLE), ref.sha256)
    found = [one for subject in subjects if subject for one in workspace.ledger.judgement(about, subject).values()]
    return workspace.ledger.with_overrides(found)


class Answering(NamedTuple):
    """The package that answers: what it says of itself, its version, and its content hash."""

    config: "ServiceConfig"
    version: VersionRef
    package: str


def answering(workspace: Workspace, context: ModelContext) -> Answering:
    """The package that answers. Raises MissingReference where none does, Refused for one that nobody promoted."""
    from ml_platform.serving import bundle

    model = context.model.name
    backend = snapshot.answering(workspace, model)
    version = workspace.registry.get(model, backend.version)
    decision = approval.standing(workspace, version)
    if decision.status == "rejected" or not promoted(workspace, model, backend.version, backend.sha256):
        why = f"{decision.by} rejected it" if decision.status == "rejected" else "it was never promoted"
        raise Refused(f"{key_of(model)}: {backend.said} answers, but {why}; ml-platform status says what to do")
    recorded_trainings.require_known(workspace, version.model_ref)
    package = workspace.settings.local / backend.path
    config, _ = bundle.read_of(package, backend.sha256)
    return Answering(config, version, backend.sha256)


def _require_features(
    workspace: Workspace, context: ModelContext, features: DatasetRef, config: "ServiceConfig", run: Run
) -> None:
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    materializer.check_current(features)
    snapshot.require_code(config, materializer)
    published_verdicts.require(workspace, context.dataset, {features.partition: features}, run)
    require(
        workspace,
        features.sha256,
        feature_gates(workspace, context.feature_set, context.dataset),
        name=f"{features.dataset}/{features.partition}",
        again=lambda: inspect_features(workspace, context.feature_set, context.dataset, features, run),
    )


def _scored(
    workspace: Workspace, context: ModelContext, ref: DatasetRef, version: VersionRef, config: "ServiceConfig"
) -> "pl.DataFrame":
    from ml_platform.features.build import matrix

    features = batches.read(workspace.store, ref)
    p = predictor(workspace, version.model_ref, workspace.settings.threads).predict(
        matrix(features, version.model_ref.features)
    )
    return with_key(context, features, p, config)


def with_key(context: ModelContext, rows: "pl.DataFrame", p: "np.ndarray", config: "ServiceConfig") -> "pl.DataFrame":
    """Predictions beside key and time of their rows, with decisions where the package decides."""
    import polars as pl

    from ml_platform.models import outputs
    from ml_platform.models.task import task_of

    function = context.function
    named = list(dict.fromkeys((*function.key, *((function.time,) if function.time else ()))))
    frame = rows.select(named).with_columns(outputs.series("prediction", p))
    decided = outputs.decisions(p, task_of(config.task, config.classes, config.decision_threshold).threshold)
    if decided is None:
        return frame
    answers = [config.classes[int(one)] for one in decided] if config.classes else decided
    return frame.with_columns(pl.Series("decision", answers))


def _require_usual(
    workspace: Workspace,
    context: ModelContext,
    version: VersionRef,
    frame: "pl.DataFrame",
    name: str,
    sha256: str,
    inputs: dict[str, str],
    run: Run,
) -> None:
    """Judge scores against the predictions of the evaluation, on the partition of the holdout that is nearest and on
    all of them. Raises Refused where they are distributed otherwise.

    By the rule on predictions of the model's rollout: what is wrong of a candidate's answers is wrong of scores.
    """
    if (limit := _limit(context)) is None:
        return
    outputs = _outputs(frame["prediction"].to_numpy())
    compared = [_differences(outputs, usual) for usual in _evaluated(workspace, context, version)]
    # A month of winter is not distributed as all months of a holdout together, and need not be.
    worst, differences = min((max(one - chance for one, chance in found), found) for found in compared)
    shown = ", ".join(f"{difference:.3f} (chance explains {chance:.3f})" for difference, chance in differences)
    verdict = Verdict(
        gate=SCORES_DISTRIBUTION,
        stage="scores",
        subject=sha256,
        subject_name=name,
        status="passed" if worst <= limit else "failed",
        blocking=True,
        observed=max(0.0, worst),
        threshold=f"<= {limit:g}",
        declaration=sha256_bytes(canonical_json([SCORES_DISTRIBUTION, limit, VERSION])),
        reason=f"distributed otherwise than on every partition of the holdout, by {shown} (Kolmogorov-Smirnov)",
        support=frame.height,
        compared=inputs,
    )
    workspace.ledger.record([verdict], run_id=run.id, provenance=run.provenance)
    (judged,) = workspace.ledger.with_overrides([verdict])
    if judged.holds_back:
        raise Refused(
            f"{name} ({sha256[:12]}): held back by {SCORES_DISTRIBUTION} ({verdict.reason}; {verdict.threshold})"
        )


def _limit(context: ModelContext) -> float | None:
    """How far predictions may be distributed otherwise, beyond chance; None where that is not declared."""
    return context.model.rollout.rules.predictions


def _evaluated(workspace: Workspace, context: ModelContext, version: VersionRef) -> "list[list[np.ndarray]]":
    """What the evaluated model predicted for its holdout: for all of it, and for each of its partitions."""
    import numpy as np

    from ml_platform.features.build import matrix

    reference = version.model_ref.evaluated

    def make() -> "list[list[np.ndarray]]":
        model = predictor(workspace, reference, workspace.settings.threads)
        frames = workspace.steps.evaluation_frames(workspace.store, reference.split.holdout)
        each = [model.predict(matrix(one, reference.features)) for one in frames]
        return [_outputs(predicted) for predicted in (np.concatenate(each), *each) if len(predicted)]

    return workspace.shared(f"holdout predictions {reference.sha256} {reference.split.sha256}", make)


def _outputs(p: "np.ndarray") -> "list[np.ndarray]":
    """One column of numbers for each output."""
    return [p] if p.ndim == 1 else list(p.T)


def _differences(scores: "Sequence[np.ndarray]", usual: "Sequence[np.ndarray]") -> "list[tuple[float, float]]":
    """Kolmogorov-Smirnov distance of each output, and the part of it that chance explains."""
    import polars as pl

    from ml_platform.validation.drift import kolmogorov_smirnov

    return [
        (kolmogorov_smirnov(pl.Series(theirs), pl.Series(ours)), by_chance(len(ours), len(theirs)))
        for ours, theirs in zip(scores, usual, strict=True)
    ]


def _stat(workspace: Workspace, path: str) -> ObjectInfo | None:
    try:
        return workspace.store.stat(BRANCH, path)
    except NotFound:
        return None


def at(workspace: Workspace, model: str, partition: str) -> dict[str, Any]:
    """Which version scored a partition, from what, and by which verdict. Raises MissingReference where none did, and
    PlatformError for scores that were not made here."""
    info, about = _stat(workspace, path_of(model, partition)), f"{key_of(model)}/{partition}"
    if info is None:
        raise MissingReference(f"{about}: there is none; ml-platform score {model} makes it")
    ref = workspace.references.load(key_of(model), partition)
    assert isinstance(ref, DatasetRef)
    if ref.sha256 != info.sha256 or not _made_here(workspace, about, info, ref.inputs):
        raise PlatformError(
            f"{about} ({info.sha256[:12]}): the ledger names no scoring that its reference tells of; ml-platform score "
            f"{model} makes them again"
        )
    return {
        "partition": partition,
        "sha256": ref.sha256,
        "commit": ref.commit,
        "path": ref.path,
        "rows": ref.rows,
        "version": int(info.metadata["version"]),
        "package": info.metadata["package"],
        "inputs": ref.inputs,
        "verdicts": [verdict.recorded() for verdict in verdicts_on(workspace, ref)],
    }
