"""A newer history for a version that answers: made, judged together with its package, and put behind its route."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate
from ml_platform.gates.service import ServiceEvidence
from ml_platform.ledger.kinds import HISTORY
from ml_platform.pipeline import provisional, recorded_trainings
from ml_platform.pipeline.judging import judged, model_gates
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.history import History
    from ml_platform.features.materialize import Materializer
    from ml_platform.rollout.record import Backend
    from ml_platform.serving import bundle

#: Gates of a service that judge a package with another history.
KINDS = ("servability", "skew")
#: Rows that are asked and compared.
ROWS = 300


class Refreshed(NamedTuple):
    """The history behind a route."""

    model: str
    version: int
    sha256: str
    #: Last day that it knows, ISO; empty where it knows none.
    until: str
    #: Whether it is another one than before.
    changed: bool
    url: str = ""


def about(workspace: Workspace, context: ModelContext, taken: provisional.Provisional | None = None) -> dict[str, Any]:
    """What a history is made from: contents of published partitions, and of the one that is under way."""
    published = published_batches(workspace, context.dataset.name)
    return {
        "features": context.feature_set.key,
        "contents": {name: info.sha256 for name, info in sorted(published.items())},
        "provisional": taken._asdict() if taken else None,
    }


def judged_with(package: str, history: str) -> str:
    """What verdicts on a package (its content hash) together with a history are about."""
    return sha256_bytes(canonical_json([package, history]))


def keep(
    workspace: Workspace,
    context: ModelContext,
    history: "History",
    code: str,
    run: Run,
    taken: provisional.Provisional | None = None,
) -> str:
    """Keep a history beside the packages, with what it is made from, and return its sha256.

    The ledger has the hash of that note: it is a file that anybody can edit.
    """
    from ml_platform.serving import snapshots

    made = {**about(workspace, context, taken), "run": run.id}
    kept = snapshots.keep(workspace.settings.local, history, code, made)
    if kept.about is not None:
        workspace.ledger.decide(
            HISTORY,
            subject=kept.sha256,
            subject_name=f"{context.model.name}/history",
            body={"about": kept.about},
            run_id=run.id,
            provenance=run.provenance,
        )
    return kept.sha256


def wanted(workspace: Workspace, context: ModelContext) -> str:
    """What tells whether a newer history may be made; cheap, for who asks again and again."""
    under_way = provisional.offered(workspace, context.dataset) if context.feature_set.refresh == "day" else None
    return sha256_bytes(canonical_json([about(workspace, context)["contents"], under_way]))


def answering(workspace: Workspace, model: str) -> "Backend":
    """The package that answers for a model. Raises MissingReference where none does."""
    record = workspace.rollouts.load(model)
    if record.stable is None:
        raise MissingReference(f"{model}: no version answers; deploy one first")
    return record.stable


def refresh(workspace: Workspace, context: ModelContext, run: Run, *, wait: bool = True) -> Refreshed:
    """Let the version that answers read everything that is known now, in a new process behind the same route.

    Raises Refused where a gate holds the package back with this history, or its feature code is not that of now;
    MissingReference where no version answers.
    """
    from ml_platform.rollout import changes, control
    from ml_platform.serving import bundle

    model = context.model.name
    backend = answering(workspace, model)
    config, _ = bundle.read_of(workspace.settings.local / backend.path, backend.sha256)
    require_code(config, materializer_of(workspace, context.feature_set, context.dataset))
    made = _newest(workspace, context, run)
    sha256, until = made.sha256, made.history.until.isoformat() if made.history.until else ""
    if sha256 == (backend.snapshot or config.history_sha256):
        return Refreshed(model, backend.version, sha256, until, False)
    _require_sound(workspace, context, backend, made, run)
    by, why = workspace.settings.actor, f"history until {until}"
    workspace.rollouts.update(model, lambda record: changes.refreshed(record, sha256, by=by, why=why, run_id=run.id))
    url = ""
    if wait:
        control.ensure_running(workspace.settings)
        url = control.wait_live(workspace.settings, model, backend.sha256, snapshot=sha256)
    forget(workspace)
    return Refreshed(model, backend.version, sha256, until, True, url)


def with_newest(workspace: Workspace, context: ModelContext, backend: "Backend", run: Run) -> "Backend":
    """A package that is to take over, with the outcomes of a partition under way, where some are known.

    Beside a version that was refreshed it would be sent back for its older history. Raises Refused where a gate holds
    the package back with that history.
    """
    if context.feature_set.refresh != "day" or not provisional.offered(workspace, context.dataset):
        return backend
    made = _newest(workspace, context, run)
    if made.days is None:
        return backend
    _require_sound(workspace, context, backend, made, run)
    return backend.model_copy(update={"snapshot": made.sha256})


class _Made(NamedTuple):
    """A history that was made now, and kept."""

    sha256: str
    history: "History"
    #: Rows of the partition under way that are in it; None where there are none.
    days: "pl.DataFrame | None"


def _newest(workspace: Workspace, context: ModelContext, run: Run) -> _Made:
    """The history of all that is known now, kept beside the packages."""
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    taken = None
    if context.feature_set.refresh == "day":
        taken = provisional.take(workspace, context.dataset, run).accepted
    days = provisional.rows(workspace, taken) if taken else None
    history = materializer.history(materializer.published_partitions(), days)
    return _Made(keep(workspace, context, history, materializer.code, run, taken), history, days)


def forget(workspace: Workspace) -> None:
    """Delete the histories that no rollout record names and that are a day old; what they were made from stays."""
    from ml_platform.serving import snapshots

    named: set[str] = set()
    for model in workspace.rollouts.models():
        record = workspace.rollouts.load(model)
        every = (record.stable, record.candidate, record.previous)
        named |= {backend.snapshot for backend in every if backend is not None and backend.snapshot}
    snapshots.forget(workspace.settings.local, named)


def require_code(config: "bundle.ServiceConfig", materializer: "Materializer") -> None:
    """Raise Refused for a package whose feature code is not that of here."""
    if not config.feature_code:
        raise Refused(
            f"{config.model}: version {config.version} was packaged before histories could be refreshed; "
            f"materialize {config.model}/service and {config.model}/deployment again"
        )
    if config.feature_code != materializer.code:
        raise Refused(
            f"{config.model}: version {config.version} answers by feature code {config.feature_code}, here is "
            f"{materializer.code}; train and deploy it again, or put the code back"
        )


def _require_sound(
    workspace: Workspace,
    context: ModelContext,
    backend: "Backend",
    made: _Made,
    run: Run,
) -> None:
    """Judge package and history together. Raises Refused by the names of the gates that hold them back."""
    gates = tuple(gate for gate in model_gates(workspace, context, "service") if gate.gate in KINDS)
    subject = judged_with(backend.sha256, made.sha256)
    name = f"{context.model.name}/history"
    known = workspace.ledger.judgement(name, subject, gates)
    if all(gate.judged(known.get(gate.name)) for gate in gates):
        verdicts = list(known.values())
    else:
        evidence = _evidence(workspace, context, backend, made, gates)
        verdicts = judged(workspace, gates, evidence, subject=subject, name=name, run=run)
    if held := [f"{verdict.gate} ({verdict.reason})" for verdict in verdicts if verdict.holds_back]:
        raise Refused(
            f"{name} ({made.sha256[:12]}): held back by {', '.join(held)}; version {backend.version} goes on with the "
            "history that it has"
        )


def _evidence(
    workspace: Workspace,
    context: ModelContext,
    backend: "Backend",
    made: _Made,
    gates: tuple[Gate, ...],
) -> ServiceEvidence:
    """The newest rows, asked of a process that reads this history, against the path of training."""
    from ml_platform.features.build import build, matrix
    from ml_platform.pipeline.predictors import predictor
    from ml_platform.serving import checks, snapshots
    from ml_platform.serving.schema import to_rows

    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    raw = made.days if made.days is not None else materializer.raw(materializer.published_partitions()[-1])
    chosen = raw.gather_every(max(1, raw.height // ROWS)).tail(ROWS)
    reference = workspace.registry.get(context.model.name, backend.version).model_ref
    recorded_trainings.require_known(workspace, reference)
    features = matrix(build(context.function, chosen, made.history), reference.features)
    expected = predictor(workspace, reference, threads=1).predict(features)
    file = snapshots.path(workspace.settings.local, made.sha256)
    environment = workspace.settings.for_service(snapshot=str(file), prediction_log="", service_rate=0)
    package = workspace.settings.local / backend.path
    try:
        with checks.running(package, workspace.settings, environment) as service:
            asked = chosen.select(context.function.inputs)
            alive = checks.servability(service, package, to_rows(service.request, asked.head(20)))
            compared = checks.skew(service, asked, expected)
    except PlatformError as error:
        return ServiceEvidence(str(error), 0.0, 0, 0, 0, float("nan"), (), 0)
    return ServiceEvidence(
        error="" if alive.status == 200 and alive.identity else f"answered {alive.status}",
        ready_seconds=alive.ready_seconds,
        answered=len(alive.predictions),
        compared=compared.rows,
        differing=compared.differing,
        largest_difference=compared.max_abs_difference,
        not_refused=(),
        cases=0,
    )
