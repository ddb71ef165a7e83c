"""From a registered version to an answering service: package, check, deploy."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.asked import Asked
from ml_platform.gates.deployment import DeploymentEvidence
from ml_platform.gates.gate import Verdict
from ml_platform.gates.service import RunningService, ServiceEvidence
from ml_platform.pipeline import cards, going_live, known_texts, recorded_packages, recorded_versions, snapshot
from ml_platform.pipeline.approval import require_approved
from ml_platform.pipeline.judging import judged, model_context, model_gates, require
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.predictors import require_code
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.pipeline.shadow_verdicts import shadow_gates
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DeploymentRef, ManifestEntry, ServiceRef, VersionRef

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_platform.rollout.record import Backend, RolloutRecord
    from ml_platform.serving.schema import RequestSchema

#: Holdout rows that are sent through the service and compared with the evaluation.
SKEW_ROWS = 500


def package(workspace: Workspace, context: ModelContext, version: VersionRef, run: Run) -> ServiceRef:
    """Package an approved version with its feature code and the newest history as a Bento folder.

    Raises Refused where something that it learned from was taken out since, and for one older than the champion.
    """
    from ml_platform.serving import snapshots
    from ml_platform.serving.schema import request_schema, to_rows

    # Named before any code is loaded: what is edited from here on is another context.
    about = model_context(workspace, context)
    version = require_approved(workspace, context, version, run)
    reference = version.model_ref
    going_live.require_packable(workspace, version)
    require_code(reference)
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    request = request_schema(context.function, context.dataset.load_schema(), context.dataset.added)
    raw = materializer.raw(reference.split.newest.partition)
    history = materializer.history(materializer.published_partitions())
    kept = snapshot.keep(workspace, context, history, materializer.code, run)
    made = workspace.steps.package(
        version.model,
        version.version,
        workspace.tracking.model_path(reference),
        reference.file_hash,
        snapshots.path(workspace.settings.local, kept),
        context.feature_set.function,
        request,
        task=reference.task,
        provenance=reference.provenance,
        destination=workspace.settings.local / BENTOS,
        decision_threshold=context.model.decision_threshold,
        classes=reference.classes,
        format=reference.format,
        types=reference.types,
        feature_code=materializer.code,
        stale=context.feature_set.stale,
        known=known_texts.of(workspace, context.dataset.name, reference.split, request),
        description=cards.described(context, version),
        example=without_private(request, to_rows(request, raw.select(context.function.inputs).head(1))[0]),
    )
    # Which context a package is of is for the ledger to say: a reference is a file that anybody can edit.
    recorded_packages.note(workspace, version, made.sha256, about, run)
    return ServiceRef(
        run_id=run.id,
        provenance=run.provenance,
        model=version.model,
        version=version.version,
        tag=made.tag,
        sha256=made.sha256,
        path=stored(made.path),
        model_sha256=reference.sha256,
        context=about,
    )


def stored(package: Path) -> str:
    """How references and rollout records name the folder of a package: as it lies below the project's own."""
    return f"{BENTOS}/{package.name}"


def backend_in(package: Path, version: int, tag: str, sha256: str, snapshot: str | None = None) -> "Backend":
    """A package in its folder as a rollout record has it."""
    from ml_platform.rollout.record import Backend

    return Backend(version=version, tag=tag, sha256=sha256, path=stored(package), snapshot=snapshot)


def without_private(request: "RequestSchema", row: dict[str, Any]) -> dict[str, Any]:
    """A valid row whose personal values are replaced by plain ones: it is kept in the package."""
    from ml_platform.serving.schema import example_row

    of = next((field.made_from or field.name for field in request.fields if field.name == request.time), "")
    plain = example_row(request, date.fromisoformat(row[of][:10]) if of else date(2000, 1, 1))
    return {field.name: plain[field.name] if field.pii else row[field.name] for field in request.asked}


def inspect_service(workspace: Workspace, context: ModelContext, ref: ServiceRef, run: Run) -> list[Verdict]:
    """Start the package in a fresh process, query it, judge it, and write the verdicts to the ledger."""
    gates, name = model_gates(workspace, context, "service"), f"{ref.model}/service"
    # The process runs until every gate has judged: some ask for its address.
    with ExitStack() as until_judged:
        if why := outdated(workspace, context, ref):
            evidence, running = unanswered(why), None
        else:
            evidence, running = service_evidence(workspace, context, ref, until_judged)
        asked: Asked = {"running": partial(_running, running, evidence.error)}
        return judged(workspace, gates, evidence, subject=ref.sha256, name=name, run=run, asked=asked)


def _running(service: RunningService | None, error: str) -> RunningService:
    if service is None:
        raise PlatformError(f"there is no running service to ask: {error}")
    return service


def outdated(workspace: Workspace, context: ModelContext, ref: ServiceRef) -> str:
    """Why a package is none of what is declared and written now; empty where it is.

    Its content stands for what was declared then (threshold, request, feature code), so a judgement of it says nothing
    about what is declared now: it is made again instead.
    """
    about = model_context(workspace, context)
    if ref.context == about and about in recorded_packages.contexts(workspace, ref.model, ref.sha256):
        return ""
    when = "under other declarations or code" if ref.context else "by a release that noted no context"
    return f"{ref.model}/service ({ref.sha256[:12]}) was packaged {when}; materialize {ref.model}/service again"


def unanswered(why: str) -> ServiceEvidence:
    """Evidence of a service that cannot be asked."""
    return ServiceEvidence(why, 0.0, 0, 0, 0, float("nan"), (), 0)


def service_evidence(
    workspace: Workspace, context: ModelContext, ref: ServiceRef, until: ExitStack
) -> tuple[ServiceEvidence, RunningService | None]:
    """What a really started process answers: sample rows, holdout rows, bad inputs; and the process itself.

    It runs until the stack ends; None where it did not start or answer.
    """
    from ml_platform.serving import checks
    from ml_platform.serving.schema import to_rows

    version = workspace.registry.get(ref.model, ref.version)
    recorded_versions.require(workspace, version)
    raw, expected = holdout_sample(workspace, context, version)
    bento = workspace.settings.local / ref.path
    try:
        service = until.enter_context(checks.running(bento, workspace.settings))
        every = to_rows(service.request, raw)
        rows = every[:20]
        alive = checks.servability(service, bento, rows)
        compared = checks.skew(service, raw, expected)
        refused = checks.bad_inputs(service, rows[0])
    except PlatformError as error:
        return unanswered(str(error)), None
    problem = "" if alive.status == 200 and len(alive.predictions) == len(rows) else f"answered {alive.status}"
    if not problem and not alive.identity:
        problem = "the service does not name the packaged model, version and content"
    evidence = ServiceEvidence(
        error=problem,
        ready_seconds=alive.ready_seconds,
        answered=len(alive.predictions),
        compared=compared.rows,
        differing=compared.differing,
        largest_difference=compared.max_abs_difference,
        not_refused=tuple((case.case, case.got) for case in refused if not case.refused),
        cases=len(refused),
    )
    return evidence, RunningService(service.url, service.key, every)


def holdout_sample(
    workspace: Workspace, context: ModelContext, version: VersionRef
) -> "tuple[pl.DataFrame, np.ndarray]":
    """Raw rows of the newest partition of its manifest, and the model's predictions from their stored features.

    They are predicted as for the evaluation, among all rows of the partition: who asks a service has other company.
    """
    import polars as pl

    from ml_platform.features.build import matrix
    from ml_platform.pipeline.predictors import predictor

    reference = version.model_ref
    last: ManifestEntry = reference.split.newest
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    raw = materializer.raw_at(last)
    # The whole partition, row by row beside its raw rows; a part has fewer.
    features = next(workspace.steps.evaluation_frames(workspace.store, (last.model_copy(update={"part": None}),)))
    if raw.height != features.height:
        raise PlatformError(
            f"{version.model}: raw rows and features of {last.partition} differ in number; materialize them again"
        )
    step = max(1, raw.height // SKEW_ROWS)
    chosen = pl.int_range(0, raw.height, step, eager=True).head(SKEW_ROWS)
    model = predictor(workspace, reference, workspace.settings.threads)
    expected = model.predict(matrix(features, reference.features))[chosen.to_numpy()]
    return raw[chosen].select(context.function.inputs), expected


def deploy(
    workspace: Workspace, context: ModelContext, ref: ServiceRef, run: Run, *, by: str = "", why: str = ""
) -> DeploymentRef:
    """Let a judged service become the stable one of its model: it starts, answers, and gets the requests.

    Where steps are declared that take requests or time it returns once the first has begun; the supervisor goes on.
    Raises Refused by gate name unless this very package and its model passed every gate, and for what
    :func:`going_live.require` holds; ``by``: the person who asks.
    """
    from ml_platform.pipeline.rollout import project
    from ml_platform.rollout.changes import started
    from ml_platform.serving.packaging import kept

    project(workspace, ref.model, run)  # what a person decided while the ledger was away is decided
    version = workspace.registry.get(ref.model, ref.version)
    going_live.require(workspace, require_approved(workspace, context, version, run), ref.sha256, by_person=bool(by))
    if stale := outdated(workspace, context, ref):
        raise Refused(stale)
    there = kept(workspace.settings.local / BENTOS, ref.model, ref.version, ref.sha256)
    if there is None:
        raise Refused(
            f"{ref.model}/service: there is no package {ref.sha256[:12]} of version {ref.version}, or it was changed; "
            f"materialize {ref.model}/service again"
        )
    tag, place = there
    gates, name = model_gates(workspace, context, "service"), f"{ref.model}/service"
    require(workspace, ref.sha256, gates, name=name, again=lambda: inspect_service(workspace, context, ref, run))
    backend = snapshot.with_newest(workspace, context, backend_in(place, ref.version, tag, ref.sha256), run)
    plan = context.model.rollout
    begun = partial(
        started,
        backend=backend,
        run_id=run.id,
        strategy=plan.steps,
        rules=plan.rules,
        replicas=plan.replicas,
        watch=plan.watch,
        gates=shadow_gates(workspace, context),
    )
    by, why = by or workspace.settings.actor, why or "every gate passed"
    url = go_live(workspace, ref.model, backend, run, begun, by=by, why=why, whole=not plan.waits)
    return DeploymentRef(
        run_id=run.id,
        provenance=run.provenance,
        model=ref.model,
        version=ref.version,
        sha256=ref.sha256,
        url=url,
        record=workspace.rollouts.location(ref.model),
    )


def go_live(
    workspace: Workspace,
    model: str,
    backend: "Backend",
    run: Run,
    change: "Callable[..., RolloutRecord]",
    *,
    by: str,
    why: str,
    whole: bool = True,
) -> str:
    """Begin a rollout by a ``change`` of the record, which is told ``by`` and ``why``; wait until its package answers,
    and tell ledger and registry.

    ``whole``: wait until it is the stable version; else until it is in its first step. Returns the model's address.
    Raises PlatformError with the reason where the candidate was rolled back: the version that was stable goes on.
    """
    from ml_platform.pipeline.rollout import begin, project
    from ml_platform.rollout import control

    # What an earlier release left untold is not taken for one of this rollout.
    project(workspace, model, run)
    control.ensure_running(workspace.settings)
    begin(workspace, model, backend, run, by=by, why=why)
    workspace.rollouts.update(model, partial(change, by=by, why=why))
    try:
        return control.wait_live(workspace.settings, model, backend.sha256, whole=whole)
    finally:
        project(workspace, model, run)


def inspect_deployment(workspace: Workspace, context: ModelContext, ref: DeploymentRef, run: Run) -> list[Verdict]:
    """Ask the model's address who answers there, and write the verdict to the ledger.

    A candidate is asked for by its version. The address is that of the rollout record, on the host of the settings: a
    reference is a file that anybody can edit, and the key goes where this asks.
    """
    from ml_platform.rollout.record import CHOOSE

    try:
        record = workspace.rollouts.load(ref.model)
    except MissingReference as error:
        return judge_route(workspace, context, ref, run, "", missing=str(error))
    if record.port is None:
        return judge_route(workspace, context, ref, run, "", missing=f"{ref.model} has no address yet")
    candidate = record.candidate
    chosen = {CHOOSE: str(ref.version)} if candidate is not None and candidate.sha256 == ref.sha256 else {}
    return judge_route(workspace, context, ref, run, f"http://{workspace.settings.host}:{record.port}", chosen)


def judge_route(
    workspace: Workspace,
    context: ModelContext,
    ref: DeploymentRef,
    run: Run,
    url: str,
    chosen: dict[str, str] | None = None,
    *,
    missing: str = "",
) -> list[Verdict]:
    """Ask who answers at an address, and write the verdict on the deployment to the ledger.

    ``chosen``: headers that choose a version; ``missing``: why there is no address.
    """
    from ml_platform.rollout.processes import owner
    from ml_platform.serving.client import Client

    wanted, answering = f"{ref.version} {ref.sha256[:12]}", ""
    if not missing:
        try:
            key, mine = workspace.settings.secret_key.get_secret_value(), owner(workspace.settings)
            with Client(url, key, owner=mine) as client:
                info = client.info(chosen or {})
            answering = f"{info['version']} {info['sha256'][:12]}"
        except PlatformError as error:
            missing = str(error)
    evidence = DeploymentEvidence(url, wanted, answering, missing)
    gates = model_gates(workspace, context, "deployment")
    return judged(workspace, gates, evidence, subject=ref.sha256, name=f"{ref.model}/deployment", run=run)
