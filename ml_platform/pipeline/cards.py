"""What MLflow tells people of a registered version, its card and the tags of its training, held against the ledger.

Nothing acts on them, and anybody who has MLflow can edit them: what was edited is named, and written again with the
next registration or decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.documents import model_card
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.gates.stages import Stage
from ml_platform.ledger.kinds import CARD
from ml_platform.pipeline import recorded_evaluations, recorded_trainings, recorded_versions
from ml_platform.pipeline.judging import model_gates
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ModelRef, VersionRef

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import Evaluation
    from ml_platform.gates.gate import Verdict


def render(
    context: ModelContext,
    reference: ModelRef,
    evaluation: "Evaluation",
    verdicts: "Sequence[Verdict]",
    approvals: Sequence[Mapping[str, Any]],
) -> str:
    """The model card of an evaluated model, as Markdown, in the words that are declared."""
    return model_card.render(
        evaluation,
        reference,
        verdicts=verdicts,
        purpose=context.model.purpose or context.model.description,
        limits=context.model.limits,
        approvals=approvals,
        owners=context.model.owners,
    )


def described(context: ModelContext, version: VersionRef) -> str:
    """What a service's documentation says of its model first, as Markdown, in the words that are declared."""
    model, task = context.model, context.model.kind()
    gives = {
        "probability": f"the probability that `{model.target}` is true",
        "classes": f"the probability of each `{model.target}`: {', '.join(model.classes)}",
        "value": f"`{model.target}`",
    }[task.output]
    decides = f", and a decision from {task.threshold:g} on" if task.threshold is not None else ""
    trained = [entry.partition for entry in version.model_ref.split.train]
    parts = [
        f"**{model.name}**, version {version.version}: {gives}{decides} (task {task.name}).",
        model.purpose or model.description,
        f"Limits: {model.limits}" if model.limits else "",
        f"Trained on {len({*trained})} partitions of `{context.dataset.name}`, up to {max(trained)}."
        if context.dataset.partitions.timed
        else f"Trained on `{context.dataset.name}`.",
        f"Of {', '.join(model.owners)}." if model.owners else "",
    ]
    return "\n\n".join(part.strip() for part in parts if part and part.strip())


def keep(workspace: Workspace, version: VersionRef, card: str, run: Run) -> None:
    """Let a card be the one of a version: in the ledger first, then in MLflow."""
    workspace.ledger.decide(
        CARD,
        subject=version.sha256,
        subject_name=_name(version),
        body={"card": sha256_bytes(card), "mlflow_run": version.mlflow_run_id},
        run_id=run.id,
        provenance=run.provenance,
    )
    workspace.registry.set_card(version, card)


def mend(
    workspace: Workspace, context: ModelContext, version: VersionRef, approvals: Sequence[Mapping[str, Any]], run: Run
) -> None:
    """Write again what was edited of a version, as far as ledger and MLflow still know what it was made from."""
    if not recorded_trainings.known(workspace, version.model_ref):
        return
    workspace.registry.tell(version)
    if _edited(workspace, version):
        judged = version.model_ref.evaluated
        about: list[tuple[Stage, str, str]] = [("evaluation", "model", judged.sha256)]
        if version.model_ref.judged is not None:
            about.append(("refit", "refit", version.sha256))
        verdicts = [
            verdict
            for stage, name, sha256 in about
            for verdict in workspace.ledger.judgement(
                f"{version.model}/{name}", sha256, model_gates(workspace, context, stage)
            ).values()
        ]
        try:
            evaluation = recorded_evaluations.kept(workspace, judged)
        except PlatformError:
            # It stays named as edited.
            return
        keep(workspace, version, render(context, version.model_ref, evaluation, verdicts, approvals), run)


def named(workspace: Workspace, version: VersionRef) -> bool:
    """Whether the ledger names a card of a version; an earlier release named none."""
    return bool(_noted(workspace, version))


def edited(workspace: Workspace, version: VersionRef) -> Iterator[str]:
    """What MLflow tells of a version and the ledger does not bear out, a line each with the way out."""
    about, again = f"{version.model} version {version.version}", f"materialize {version.model}/registered_model"
    if why := recorded_versions.doubt(workspace, version):
        yield why
    if why := recorded_trainings.doubt(workspace, version.model_ref):
        yield f"{about}: {why}"
    elif tags := workspace.registry.edited(version):
        yield f"{about}: in MLflow its tags {', '.join(tags)} were edited; {again} writes them again"
    if _edited(workspace, version):
        yield f"{about}: in MLflow its model card was edited; {again} writes it again"


def _edited(workspace: Workspace, version: VersionRef) -> bool:
    noted = _noted(workspace, version)
    if not noted:
        return False
    try:
        card = workspace.registry.card(version)
    except MissingReference:
        return True
    return sha256_bytes(card) != noted or not workspace.registry.described(version, card)


def _noted(workspace: Workspace, version: VersionRef) -> str:
    """sha256 of the card that the ledger names last; empty where it names none."""
    entries = workspace.ledger.entries(subject=version.sha256, subject_name=_name(version), kind=CARD)
    return next((e.body["card"] for e in reversed(entries) if e.body["mlflow_run"] == version.mlflow_run_id), "")


def _name(version: VersionRef) -> str:
    return f"{version.model}/card"
