"""Every break on a copy of the clean state: which declared gate notices?"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.datasets.store import VersionedStore
from ml_platform.declarations.context import ModelContext
from ml_platform.gates.stages import Stage
from ml_platform.pipeline import champions, data, evaluation, inspections, refit, training
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving import breaks
from ml_platform.proving.batches import BatchBreak, batch_breaks
from ml_platform.proving.findings import Finding
from ml_platform.proving.proof import Proof
from ml_platform.proving.scratch import delivering
from ml_platform.references.refs import DatasetRef, ManifestEntry, SplitRef
from ml_platform.training.trainer import Trained, Trainer

if TYPE_CHECKING:
    import polars as pl


def broken_batches(proof: Proof) -> Iterator[Finding]:
    """Every break of the newest batch, each until a gate notices."""
    clean = proof.clean
    frame = clean.frames[clean.newest]
    before = clean.frames[clean.partitions[-2]] if proof.context.dataset.partitions.timed else None
    # A staged batch that is refused changes nothing for the next: they may share a workspace up to the audit.
    arrivals = proof.copy(proof.before)
    for one in batch_breaks(proof.context, frame, before):
        yield broken_batch(proof, one, arrivals)


def broken_batch(proof: Proof, one: BatchBreak, arrivals: Workspace | None = None) -> Finding:
    """One break of the newest batch, until a gate notices; ``arrivals`` is where it is audited first, if given."""
    clean, context = proof.clean, proof.context
    finding = Finding(one.name, one.case, "batch")
    with proof.watched(finding):
        frames = {**clean.frames, clean.newest: one.change(clean.frames[clean.newest])}
        if arrivals is not None:
            _arrive(proof, finding, delivering(arrivals, frames))
            finding.asked.clear()
        workspace = delivering(proof.copy(proof.before), frames)
        ref = _arrive(proof, finding, workspace)
        published = data.publish(workspace, context.dataset, ref, proof.run)
        _features(proof, finding, workspace, published)
    return finding


def broken_code(proof: Proof) -> Iterator[Finding]:
    """Every break of feature code, split, training and refit."""
    context, frame = proof.context, proof.clean.frames[proof.clean.newest]
    groups: tuple[tuple[Stage, Iterator[breaks.CodeBreak], Callable[..., None]], ...] = (
        ("features", breaks.feature_breaks(context, frame), _feature_code),
        ("split", breaks.split_breaks(context), _train),
        ("evaluation", breaks.training_breaks(context), _train),
        ("refit", breaks.refit_breaks(context), _refit),
    )
    for stage, found, run in groups:
        for one in found:
            yield _broken(proof, one, stage, run)


def broken_training(proof: Proof, one: breaks.CodeBreak) -> Finding:
    """One break of the training, until a gate notices."""
    return _broken(proof, one, "evaluation", _train)


def broken_refit(proof: Proof, one: breaks.CodeBreak) -> Finding:
    """One break of the refit, until a gate notices."""
    return _broken(proof, one, "refit", _refit)


def _broken(proof: Proof, one: breaks.CodeBreak, stage: Stage, run: Callable[..., None]) -> Finding:
    finding = Finding(one.name, one.case, stage)
    with proof.watched(finding):
        run(proof, finding, *one.applied(proof.copy(proof.workspace), proof.context))
    return finding


def _arrive(proof: Proof, finding: Finding, workspace: Workspace) -> DatasetRef:
    dataset, newest, run = proof.context.dataset, proof.clean.newest, proof.run
    ref = data.ingest(workspace, dataset, newest, run)
    proof.asked(finding, workspace, "batch", newest, data.audit(workspace, dataset, ref, run))
    return ref


def _features(proof: Proof, finding: Finding, workspace: Workspace, published: DatasetRef) -> None:
    """From a published newest batch on."""
    name, context, run = proof.clean.newest, proof.context, proof.run
    spec, dataset = context.feature_set, context.dataset
    ref = data.featurize(workspace, spec, dataset, {name: published}, run)[name]
    proof.asked(finding, workspace, "features", name, data.inspect_features(workspace, spec, dataset, ref, run))
    _train(proof, finding, workspace, context, {**proof.clean.features, name: ref})


def _feature_code(proof: Proof, finding: Finding, workspace: Workspace, context: ModelContext) -> None:
    """Changed code builds every partition anew, the newest first: it is judged before the others are built."""
    features: dict[str, DatasetRef] = {}
    for name in reversed(proof.clean.partitions):
        spec, dataset = context.feature_set, context.dataset
        built = data.featurize(workspace, spec, dataset, {name: proof.clean.features[name]}, proof.run)
        features |= built
        verdicts = data.inspect_features(workspace, spec, dataset, built[name], proof.run)
        proof.asked(finding, workspace, "features", name, verdicts)
    _train(proof, finding, workspace, context, features)


def _train(
    proof: Proof,
    finding: Finding,
    workspace: Workspace,
    context: ModelContext,
    features: dict[str, DatasetRef] | None = None,
) -> None:
    """Split, train and evaluate, beside the clean model as the champion."""
    run, workspace = proof.run, _beside_the_champion(proof, workspace)
    champions.adopt(workspace, proof.workspace, context.model.name, run)
    split = training.split(workspace, context, features or proof.clean.features, run)
    proof.asked(finding, workspace, "split", "", training.inspect_split(workspace, context, split, run))
    trained = training.fit(_knowing(proof, finding, workspace, context, split), context, split, run)
    report = evaluation.evaluate(workspace, context, trained, run)
    proof.asked(finding, workspace, "evaluation", "", inspections.inspect_evaluation(workspace, context, report, run))
    if context.model.split.refit:
        refitted = refit.refit(workspace, context, report, run)
        proof.asked(finding, workspace, "refit", "", inspections.inspect_refit(workspace, context, refitted, run))


def _refit(proof: Proof, finding: Finding, workspace: Workspace, context: ModelContext) -> None:
    """Refit the clean model, whose judgement is sound, by broken code; the sound refit is not adopted."""
    refitted = refit.refit(workspace, context, proof.report, proof.run, known=lambda _: False)
    proof.asked(finding, workspace, "refit", "", inspections.inspect_refit(workspace, context, refitted, proof.run))


def _beside_the_champion(proof: Proof, workspace: Workspace) -> Workspace:
    """A workspace in which the rows of the clean model are found: where a batch arrives broken, the store has never had
    its clean twin, which is of the holdout."""
    read, clean = workspace.steps.evaluation_frames, proof.workspace.store
    there = {entry.commit for entry in (*proof.split.train, *proof.split.holdout)}

    def frames(store: VersionedStore, entries: tuple[ManifestEntry, ...]) -> "Iterator[pl.DataFrame]":
        for entry in entries:
            yield from read(clean if entry.commit in there else store, (entry,))

    return workspace.with_(steps=replace(workspace.steps, evaluation_frames=frames))


def _knowing(proof: Proof, finding: Finding, workspace: Workspace, context: ModelContext, split: SplitRef) -> Workspace:
    """Where the training rows are the clean ones the model is the clean one: training gives the same bytes."""
    content = [[entry.sha256 for entry in one.train] for one in (split, proof.split)]
    if finding.stage == "evaluation" or content[0] != content[1] or context.names != proof.context.names:
        return workspace
    file, rows = proof.workspace.tracking.model_path(proof.model), sum(entry.rows for entry in split.train)
    known = Trained(file, proof.model.format, rows, 0, proof.model.types)
    sound = workspace.steps
    return workspace.with_(steps=replace(sound, trainer=lambda name: _Known(sound.trainer(name), known)))


class _Known:
    """A trainer that has trained already."""

    def __init__(self, sound: Trainer, trained: Trained) -> None:
        self.sound, self.trained = sound, trained

    def train(self, *given: Any) -> Trained:
        """The model that it has, in the work folder of whoever asks: the last but one of what a trainer is given."""
        return self.trained._replace(file=Path(shutil.copy(self.trained.file, given[-2])))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)
