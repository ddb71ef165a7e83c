"""What is left to do, decided from what is stored: batches to ingest, models to train."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN, ObjectInfo
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.features.materialize import Materializer, PartitionState, Stale
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.gates.stages import Stage
from ml_platform.pipeline import going_live
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.data import withdrawn_partitions
from ml_platform.pipeline.judging import batch_gates, feature_gates, held_by, model_gates, unjudged
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, SplitRef


@dataclass(frozen=True)
class Pending:
    """A partition that has to be ingested (again)."""

    partition: str
    reason: str
    #: Stands for what is at the source and what it lacks: attempts are counted for it.
    wanted: str


def pending_partitions(
    workspace: Workspace,
    spec: DatasetSpec,
    features: Sequence[FeatureSpec],
    offered: Mapping[str, str],
    ingested: Mapping[str, str],
) -> list[Pending]:
    """Partitions at the source that are not published with features, nor refused, in order.

    ``offered`` and ``ingested`` map partitions to fingerprints: of the source now, and of the last batch. Content
    that was refused is left alone until it changes, or the declaration of a gate does.
    """
    on_batches = batch_gates(workspace, spec)
    built = [_Built.of(workspace, item, spec, offered) for item in features]
    expected = [*on_batches, *(gate for item in built for gate in item.gates)]
    gates = [[gate.declaration, gate.context] for gate in expected]
    candidates = batches.candidates(workspace.store, spec.name)
    published = published_batches(workspace, spec.name)
    main = workspace.store.resolve(MAIN)
    judged = workspace.ledger.judged(
        {f"{spec.prefix}{partition}": info.sha256 for partition, info in candidates.items()}, expected
    )
    withdrawn = withdrawn_partitions(workspace, spec)
    found = []
    for partition, fingerprint in sorted(offered.items()):
        if partition not in ingested:
            reason = "new"
        elif ingested[partition] != fingerprint:
            reason = "changed"
        else:
            known = judged.get(f"{spec.prefix}{partition}", {})
            done = partition in withdrawn
            reason = "" if done else _unfinished(partition, candidates, published, known, on_batches, built)
        if reason:
            # What is published already is news only for what depends on it.
            state = [] if reason in ("new", "changed") else [reason, main]
            wanted = sha256_bytes(canonical_json([fingerprint, gates, *state]))[:16]
            found.append(Pending(partition, reason, wanted))
    return found


class _Built(NamedTuple):
    """The features that were built of a dataset, with their verdicts: asked at once, however many there are."""

    name: str
    materializer: Materializer
    state: PartitionState
    gates: tuple[Gate, ...]
    #: By partition.
    refs: Mapping[str, DatasetRef]
    judged: Mapping[str, Mapping[str, Verdict]]

    @classmethod
    def of(cls, workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec, asked: Iterable[str]) -> "_Built":
        """Those of one feature set, of the partitions that are ``asked`` for."""
        references, gates = workspace.references, feature_gates(workspace, spec, dataset)
        refs = {
            name: references.load(spec.key, name) for name in {*asked}.intersection(references.partitions(spec.key))
        }
        judged = workspace.ledger.judged({f"{spec.key}/{name}": ref.sha256 for name, ref in refs.items()}, gates)
        materializer = materializer_of(workspace, spec, dataset)
        known = {name: judged[f"{spec.key}/{name}"] for name in refs}
        return cls(spec.name, materializer, materializer.partition_state(), gates, refs, known)

    def lacks(self, partition: str) -> str:
        """What a partition's features lack; empty where they are as declared and judged."""
        if partition not in self.refs:
            return f"without {self.name}"
        try:
            self.materializer.check_current(self.refs[partition], self.state)
        except Stale:
            return f"with stale {self.name}"
        except MissingReference:
            return f"without {self.name}"
        return f"with {self.name} that were not judged" if unjudged(self.judged[partition], self.gates) else ""


def _unfinished(
    partition: str,
    candidates: Mapping[str, ObjectInfo],
    published: Mapping[str, ObjectInfo],
    known: Mapping[str, Verdict],
    gates: Sequence[Gate],
    built: Sequence[_Built],
) -> str:
    """What a batch with the content of the source still lacks; empty where it is done or refused."""
    if partition not in candidates:
        return "not staged"
    if unjudged(known, gates):
        return "not judged by the gates as declared"
    if held_by(known, gates):
        return ""
    if partition not in published or published[partition].sha256 != candidates[partition].sha256:
        return "not published"
    return next((said for item in built if (said := item.lacks(partition))), "")


def training_outcome(workspace: Workspace, context: ModelContext, split: SplitRef) -> str:
    """What a training on this split came to, in words; empty where it did not come to its end.

    A candidate that its gates refused has come to its end: training it again would give the same.
    """
    name = context.model.name

    def held_in(stage: Stage, about: str, sha256: str) -> list[str]:
        gates = model_gates(workspace, context, stage)
        return held_by(workspace.ledger.judgement(about, sha256, gates), gates)

    if held := held_in("split", f"{name}/split", split.sha256):
        return f"the split of {_last(split)} is refused by {', '.join(held)}"
    evaluation = workspace.latest(f"{name}/evaluation")
    if evaluation is None or evaluation.manifest_sha256 != split.sha256:
        return ""
    if held := held_in("evaluation", f"{name}/model", evaluation.sha256):
        return f"the candidate trained up to {_last(split)} is refused by {', '.join(held)}"
    model = evaluation.model_ref
    if context.model.split.refit:
        model = workspace.latest(f"{name}/refit")
        if model is None or model.judged != evaluation.model_ref:
            return ""
        if held := held_in("refit", f"{name}/refit", model.sha256):
            return f"the refit of the candidate trained up to {_last(split)} is refused by {', '.join(held)}"
    version = workspace.latest(f"{name}/registered_model")
    if version is None or version.sha256 != model.sha256 or version.model_ref.manifest_sha256 != model.manifest_sha256:
        return ""
    found = standing(workspace, workspace.registry.get(name, version.version))
    if found.status != "approved":
        return f"version {version.version} is {found.status}"
    if why := going_live.older(workspace, version):
        return why
    service = workspace.latest(f"{name}/service")
    if service is None or service.version != version.version:
        return ""
    if held := held_in("service", f"{name}/service", service.sha256):
        return f"the service of version {version.version} is refused by {', '.join(held)}"
    if (hold := going_live.held(workspace, version, service.sha256)) is not None:
        return hold.said
    deployment = workspace.latest(f"{name}/deployment")
    if deployment is None or deployment.sha256 != service.sha256:
        return ""
    return f"version {version.version} was trained on everything that is published"


def _last(split: SplitRef) -> str:
    return split.train[-1].partition
