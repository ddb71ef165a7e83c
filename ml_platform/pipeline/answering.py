"""Which version of a model answers, and the way back to the one that answered before."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import approval
from ml_platform.pipeline.champions import in_force, promoted, promotions
from ml_platform.pipeline.loosening import require_person
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.pipeline.release import backend_in, go_live
from ml_platform.pipeline.rollout import untold
from ml_platform.pipeline.snapshot import judged_with
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef
from ml_platform.rollout.changes import returned
from ml_platform.rollout.record import Backend, RolloutRecord

if TYPE_CHECKING:
    from ml_platform.rollout.processes import ServiceState, SupervisorState


def answers(workspace: Workspace, model: str, version: int) -> bool:
    """Whether the rollout record sends requests to a version, or a service of it still runs."""
    from ml_platform.rollout.processes import read_state

    try:
        recorded = [backend.version for backend in workspace.rollouts.load(model).backends]
    except MissingReference:
        recorded = []
    service = read_state(workspace.settings).live(model)
    return version in recorded or (service is not None and service.version == version)


def answering(state: "SupervisorState", model: str) -> "tuple[ServiceState | None, str | None, str]":
    """The process that a model's address leads to, or that is to become it; the address; what is true of it now.

    ``live`` is what has just answered there, and nothing else.
    """
    from ml_platform.foundation.variables import INSTALLATION
    from ml_platform.serving.client import foreign
    from ml_platform.serving.process import ready

    service = state.live(model) or next((item for item in state.services if item.model == model), None)
    route = state.routes.get(model)
    address = route.url if route is not None else None
    if service is None:
        return None, address, "-"
    if not service.running:
        return service, address, "not running"
    if route is None or service is not state.live(model):
        return service, address, service.phase
    headers = ready(route.url)
    if headers is None:
        return service, address, "does not answer" if state.url(model) else "no router"
    if foreign(headers.get(INSTALLATION), state.owner):
        return service, address, "another installation answers"
    return service, address, "live" if headers.get("x-service-sha256") == service.sha256 else "another answers"


#: The way out where what answers is not what was judged.
_JUDGED = "ml-platform run deploys the one that was judged, ml-platform stop ends it"


def strange(workspace: Workspace, model: str, version: int, sha256: str) -> str:
    """Why a package is none that was approved and went live under this number; empty where it is."""
    try:
        workspace.registry.get(model, version)
    except MissingReference:
        return f"version {version} is not registered, so nobody approved it"
    return "" if went_live(workspace, model, version, sha256) else "its package was never promoted"


def went_live(workspace: Workspace, model: str, version: int, sha256: str) -> bool:
    """Whether this very package was promoted, as this version; also where the ledger has yet to be told."""
    return promoted(workspace, model, version, sha256) or untold(workspace, model, version, sha256)


def objections(workspace: Workspace, service: "ServiceState", went_live: bool) -> Iterator[str]:
    """What speaks against a service that runs, a line each: its version is rejected, its package never went live.

    ``went_live``: whether the package was (:func:`went_live`).
    """
    model, version = service.model, service.version
    try:
        decision = approval.standing(workspace, workspace.registry.get(model, version))
    except MissingReference:
        yield (
            f"{model}: version {version} answers ({service.sha256[:12]}) and is not registered, so nobody approved it "
            f"and no gate stands for it; {_JUDGED}"
        )
        return
    if decision.status == "rejected":
        yield (
            f"{model}: version {version} answers although {decision.by} rejected it ({decision.reason}); "
            f"ml-platform rollout rollback {model} … lets the version before it answer again, withdraw none"
        )
    if service.snapshot and not _judged(workspace, service):
        yield (
            f"{model}: version {version} answers from a history ({service.snapshot[:12]}) that no gate judged; "
            f"ml-platform refresh --model {model} makes one that is"
        )
    # One that starts is promoted once it answers.
    if service.phase == "live" and not went_live:
        yield (
            f"{model}: the package that answers ({service.sha256[:12]}) was never promoted, so no gate stands for it; "
            f"{_JUDGED}"
        )


def _judged(workspace: Workspace, service: "ServiceState") -> bool:
    return bool(workspace.ledger.judgement(f"{service.model}/history", judged_with(service.sha256, service.snapshot)))


def under_way(record: RolloutRecord) -> str:
    """How far the rollout of a model's candidate is, in a sentence; empty where there is none."""
    if record.candidate is None:
        return ""
    step = f"step {record.step} of {len(record.steps)}" if record.step else "it has not answered yet"
    shares = [f"{record.weight} % of the requests"] * bool(record.weight) + [f"{record.shadow} % copied"] * bool(
        record.shadow
    )
    held = ["paused"] * record.paused
    return f"{record.model}: the rollout of {record.candidate.said} is under way: {', '.join([step, *shares, *held])}"


def way_back(workspace: Workspace, model: str, leaving: int, to: int = 0) -> tuple[VersionRef, Backend]:
    """The version that answered before ``leaving``, or ``to``; nobody rejected it and its package is here.

    What an earlier way back left comes again by its number only. It needs no verdict of today: it was judged when it
    went live. Raises PlatformError, saying why none is left.
    """
    from ml_platform.serving.packaging import kept

    reasons: dict[int, str] = {}
    standing = {one.version for one in in_force(workspace, model)}
    for number, sha256, *_ in reversed(promotions(workspace, model)):
        if (number != to) if to else (number == leaving):
            continue
        try:
            version = workspace.registry.get(model, number)
        except MissingReference:
            reasons[number] = f"version {number} is not registered any more"
            continue
        decision = approval.standing(workspace, version)
        if decision.status == "rejected":
            reasons[number] = f"version {number} is rejected by {decision.by}"
        elif (found := kept(workspace.settings.local / BENTOS, model, number, sha256)) is None:
            reasons[number] = f"the package {sha256[:12]} of version {number} is not here"
        elif not to and number not in standing:
            reasons[number] = f"version {number} was left before; ml-platform rollout rollback {model} --to {number}"
        else:
            tag, place = found
            return version, backend_in(place, number, tag, sha256)
    why = "; ".join(reasons.values()) or (f"version {to} never answered" if to else "no other ever answered")
    raise PlatformError(
        f"{model}: there is no version to go back to ({why}); deploy another, or take its service down with "
        f"ml-platform withdraw {model}"
    )


def go_back(
    workspace: Workspace, model: str, leaving: int, run: Run, *, by: str, reason: str, to: int = 0
) -> tuple[VersionRef, str]:
    """Let the version before ``leaving``, or ``to``, answer again and be champion; returns it with its address.

    Raises PlatformError where there is none, or where it does not become live.
    """
    version, backend = way_back(workspace, model, leaving, to)
    change = partial(returned, backend=backend, run_id=run.id)
    url = go_live(workspace, model, backend, run, change, by=by, why=reason)
    return version, url


def roll_back(
    workspace: Workspace, model: str, run: Run, *, by: str, reason: str, to: int = 0
) -> tuple[VersionRef, str]:
    """A person's way back from what answers, is to answer, or was withdrawn last; as :func:`go_back`.

    Raises PlatformError without a name or a reason, too, and where ``to`` is what answers.
    """
    require_person(f"rollback of {model}", by, reason)
    record = workspace.rollouts.load(model)
    if to and record.candidate is None and record.stable is not None and record.stable.version == to:
        raise PlatformError(f"{model}: version {to} answers already")
    leaving = record.candidate or record.stable or record.previous
    return go_back(workspace, model, leaving.version if leaving else 0, run, by=by, reason=reason, to=to)
