"""What is published, under the declarations of today: it stays; what would fail now is named and trained on no more.

What a person let pass when it was published is no news, whatever became of the override since.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.verdict import uncompared
from ml_platform.pipeline import data
from ml_platform.pipeline.judging import batch_gates, held_by, judged_otherwise, unjudged
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef


def require(workspace: Workspace, spec: DatasetSpec, features: Mapping[str, DatasetRef], run: Run) -> None:
    """Raise Refused where the batch that features of a partition were made from would not be published now.

    What was judged otherwise than as declared now, in the context of now, is judged again before.
    """
    gates = batch_gates(workspace, spec)
    contents = {name: ref.inputs[f"{spec.name}/{name}"] for name, ref in features.items()}
    subjects = {f"{spec.prefix}{name}": sha256 for name, sha256 in contents.items()}
    judged = workspace.ledger.judged(subjects, gates)
    for name, sha256 in contents.items():
        if judged_otherwise(judged[f"{spec.prefix}{name}"], gates):
            data.audit(workspace, spec, published_ref(workspace, spec, name, sha256, run), run)
    try:
        workspace.ledger.require_each(subjects, gates)
    except Refused:
        for name, sha256 in contents.items():
            _require(workspace, spec, name, sha256)


def _require(workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str) -> None:
    known = data.let_in(workspace, spec, partition, sha256)
    asked = [gate for gate in batch_gates(workspace, spec) if gate.name not in known]
    name = f"{spec.prefix}{partition}"
    try:
        workspace.ledger.require(sha256, asked, subject_name=name)
    except Refused as refusal:
        raise Refused(
            f"{refusal} It stays published, and no split is made with it: deliver a corrected batch, or take it out "
            f"with ml-platform data rollback {spec.name} {partition} --withdraw --reason TEXT",
            because=refusal.because,
        ) from refusal


class Standing(NamedTuple):
    """What is published, under the declarations of now."""

    #: Partitions that would not be published now, with the gates that say so.
    failing: dict[str, list[str]]
    #: The same, where a person had let exactly these gates pass.
    let_in: dict[str, list[str]]
    #: Partitions that were judged otherwise; the next split judges them again.
    unjudged: list[str]
    #: Partitions of which gates had nothing to compare with, and so say nothing: with how many, and which.
    uncompared: dict[str, str]


def standing(workspace: Workspace, spec: DatasetSpec) -> Standing:
    """How the published partitions of a dataset stand now, as far as the ledger says; nothing is judged."""
    gates = batch_gates(workspace, spec)
    contents = {name: info.sha256 for name, info in sorted(published_batches(workspace, spec.name).items())}
    judged = workspace.ledger.judged({f"{spec.prefix}{name}": sha256 for name, sha256 in contents.items()}, gates)
    found = Standing({}, {}, [], {})
    for name, sha256 in contents.items():
        verdicts = judged[f"{spec.prefix}{name}"]
        if said := uncompared(verdicts[gate.name] for gate in gates if gate.name in verdicts):
            found.uncompared[name] = said
        if held := held_by(verdicts, gates):
            known = set(held) <= data.let_in(workspace, spec, name, sha256)
            (found.let_in if known else found.failing)[name] = held
        elif unjudged(verdicts, gates):
            found.unjudged.append(name)
    return found


def published_ref(workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str, run: Run) -> DatasetRef:
    """A reference to a content of a partition that was published."""
    commit = workspace.store.resolve(batches.batch_tag(spec.name, partition, sha256))
    path = batches.batch_path(spec.name, partition)
    return batches.reference(workspace.store.stat(commit, path), spec.name, partition, MAIN, commit, run)
