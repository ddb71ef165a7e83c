"""The one place that judges content, records the verdicts, and says what they allow in the context of today.

Steps come by gates through :func:`batch_gates`, :func:`feature_gates` and :func:`model_gates` only: those are in their
context, and the ledger accepts no other (:meth:`~ml_platform.ledger.ledger.Ledger.require`).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.user_code import files_beside, user_code_version
from ml_platform.gates.asked import Asked
from ml_platform.gates.gate import Gate, Verdict, judge
from ml_platform.gates.stages import Stage
from ml_platform.pipeline.workspace import Workspace


def batch_gates(workspace: Workspace, spec: DatasetSpec) -> tuple[Gate, ...]:
    """The gates on a batch, in the context of the dataset: its declaration, and its schema as the code stands."""
    return _within(spec.gates_of("batch"), _dataset(workspace, spec))


def feature_gates(workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec) -> tuple[Gate, ...]:
    """The gates on features, in the context of the feature set: that of the dataset, and the feature code."""
    return _within(spec.gates_of("features"), _features(workspace, spec, dataset))


def model_gates(workspace: Workspace, context: ModelContext, stage: Stage) -> tuple[Gate, ...]:
    """The gates of a stage of a model, in the context of the model: all that it stands on, and its own declaration.

    The stage ``service`` reads two settings as well.
    """
    about = model_context(workspace, context)
    if stage in ("service", "deployment"):
        settings = workspace.settings
        about = _hash([about, settings.service_body_limit, settings.service_ready_seconds])
    return _within(context.model.gates_of(stage), about)


def model_context(workspace: Workspace, context: ModelContext) -> str:
    """Hash of everything that is declared or written for a model, and decides a judgement of it."""
    model = context.model

    def make() -> str:
        own = {key: path for key in ("task", "trainer") if ":" in (path := getattr(model, key))}
        code = {key: [user_code_version(path), files_beside(path)] for key, path in own.items()}
        trainer = workspace.steps.trainer(model.trainer).version
        features = _features(workspace, context.feature_set, context.dataset)
        return _hash([features, model.judged(), trainer, code])

    declared = [one.model_dump_json() for one in (model, context.feature_set, context.dataset)]
    return workspace.shared(f"context {declared}", make)


def _dataset(workspace: Workspace, spec: DatasetSpec) -> str:
    def make() -> str:
        return _hash([spec.judged(), user_code_version(spec.schema_), files_beside(spec.schema_)])

    return workspace.shared(f"context {spec.model_dump_json()}", make)


def _features(workspace: Workspace, spec: FeatureSpec, dataset: DatasetSpec) -> str:
    def make() -> str:
        # The first is the version of the code as it stands, the others are earlier names for the same.
        code = workspace.feature_codes(spec)[0]
        return _hash([_dataset(workspace, dataset), spec.judged(), code, files_beside(spec.function)])

    return workspace.shared(f"context {spec.model_dump_json()} {dataset.model_dump_json()}", make)


def _hash(parts: object) -> str:
    return sha256_bytes(canonical_json(parts))


def _within(gates: Iterable[Gate], context: str) -> tuple[Gate, ...]:
    return tuple(gate.within(context) for gate in gates)


def judged(
    workspace: Workspace,
    gates: Iterable[Gate],
    evidence: Any,
    *,
    subject: str,
    name: str,
    run: Run,
    asked: Asked | None = None,
    compared: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """Apply every gate to the evidence on the content ``subject`` and keep the verdicts in the ledger.

    ``asked`` makes the evidence that a kind of gate may ask for, once for all that do; ``compared`` are contents that
    every gate looks at beside the one that is judged. Returned are the verdicts with the overrides that hold now.
    """
    once = {name: cache(make) for name, make in (asked or {}).items()}
    verdicts = judge(gates, evidence, subject=subject, subject_name=name, compared=compared, asked=once)
    workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    return workspace.ledger.with_overrides(verdicts)


def require(
    workspace: Workspace, subject: str, gates: Iterable[Gate], *, name: str, again: Callable[[], object]
) -> list[Verdict]:
    """:func:`require_each` for one content."""
    return require_each(workspace, {name: subject}, gates, again=lambda _: again())[name]


def require_each(
    workspace: Workspace, subjects: Mapping[str, str], gates: Iterable[Gate], *, again: Callable[[str], object]
) -> dict[str, list[Verdict]]:
    """The verdicts that allow acting on each content, by name; what was judged otherwise is judged ``again`` before.

    Raises Refused as the ledger does; so for content that was never judged, which is for its own checks to do.
    """
    asked = tuple(gates)
    judged = workspace.ledger.judged(subjects, asked)
    for name in subjects:
        if judged_otherwise(judged[name], asked):
            again(name)
    return workspace.ledger.require_each(subjects, asked)


def judged_otherwise(known: Mapping[str, Verdict], gates: Iterable[Gate]) -> bool:
    """Whether content was judged, but by a blocking gate not as declared or in another context than now."""
    asked = tuple(gates)
    return any(gate.name in known for gate in asked) and unjudged(known, asked)


def unjudged(known: Mapping[str, Verdict], gates: Iterable[Gate]) -> bool:
    """Whether a blocking gate, as it is declared now and in its context, has no verdict on the content."""
    return any(gate.blocking and not gate.judged(known.get(gate.name)) for gate in gates)


def held_by(known: Mapping[str, Verdict], gates: Iterable[Gate]) -> list[str]:
    """Names of the gates whose verdict, as declared and in the context of now, holds the content back."""
    return [
        gate.name
        for gate in gates
        if gate.name in known and gate.judged(known[gate.name]) and known[gate.name].holds_back
    ]
