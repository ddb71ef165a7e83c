"""What may happen to a rollout record. Each function makes the next record and saves nothing; ``at`` is an ISO time,
by default now."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.rollout.counts import Counted
from ml_platform.rollout.record import LAST, Action, Backend, Change, Judged, RolloutRecord, Rules, ShadowGate, Step

#: Who changes a record by itself.
SUPERVISOR = "supervisor"
_NO_CANDIDATE: dict[str, Any] = {
    "candidate": None,
    "weight": 0,
    "shadow": 0,
    "step": 0,
    "started": None,
    "paused": False,
}
_NOT_WATCHED: dict[str, Any] = {"watched": None, "baseline": None}


def started(
    record: RolloutRecord,
    backend: Backend,
    *,
    by: str,
    why: str,
    run_id: str = "",
    at: str | None = None,
    strategy: Sequence[Step] = (),
    rules: Rules | None = None,
    replicas: int = 1,
    watch: float = 0,
    gates: Sequence[ShadowGate] = (),
) -> RolloutRecord:
    """The record with ``backend`` as its candidate, which takes the place of one that waits.

    It ends the watch of the version before. Unchanged where it is the candidate, or is stable and nothing else is under
    way. A package without a history of its own keeps the one that it answers from now.
    """
    if backend.snapshot is None and record.stable is not None and record.stable.sha256 == backend.sha256:
        backend = backend.model_copy(update={"snapshot": record.stable.snapshot})
    # Nothing to compare with: no step is any safer than the last one.
    strategy = strategy if record.stable is not None else ()
    gates = gates if strategy else ()
    kept = {
        "gates": tuple(gates),
        "strategy": tuple(strategy),
        "rules": rules or Rules(),
        "replicas": replicas,
        "watch": watch,
    }
    if record.candidate is not None:
        if record.candidate.identity == backend.identity:
            return record
    elif record.stable is not None and record.stable.identity == backend.identity:
        if record.replicas == replicas:
            return record
        return _changed(record, "start", by, why, run_id, at, replicas=replicas)
    return _changed(
        record, "start", by, why, run_id, at, **{**_NO_CANDIDATE, **_NOT_WATCHED, **kept, "candidate": backend}
    )


def stepped(
    record: RolloutRecord,
    *,
    by: str = SUPERVISOR,
    why: str,
    at: str | None = None,
    judged: Sequence[Judged] = (),
) -> RolloutRecord:
    """The record with its candidate in the next step; ``judged``: what gates said before it.

    Raises PlatformError without a candidate, or after the last step.
    """
    _require_candidate(record)
    if record.step >= len(record.steps):
        raise PlatformError(f"{record.model}: the candidate has all requests; promote it or roll it back")
    step, at = record.steps[record.step], at or _now()
    shares = {"weight": step.weight, "shadow": step.shadow, "step": record.step + 1, "started": at}
    return _decided(_changed(record, "step", by, why, "", at, **shares), judged)


def promoted(
    record: RolloutRecord, *, by: str = SUPERVISOR, why: str, at: str | None = None, baseline: Counted | None = None
) -> RolloutRecord:
    """The record with its candidate as the stable version, which is watched for as long as is declared.

    What was stable is ``previous``, unless only the history of the same package was refreshed; ``baseline`` is what it
    had done.
    """
    candidate, at = _require_candidate(record), at or _now()
    other = record.stable is not None and record.stable.sha256 != candidate.sha256
    update = {**_NO_CANDIDATE, "stable": candidate, "started": at}
    if other:
        update |= {**_NOT_WATCHED, "previous": record.stable}
    if other and record.watch:
        until = datetime.fromisoformat(at) + timedelta(seconds=record.watch)
        update |= {"watched": until.isoformat(timespec="milliseconds"), "baseline": baseline}
    return _changed(record, "promote", by, why, "", at, **update)


def rolled_back(
    record: RolloutRecord,
    *,
    by: str = SUPERVISOR,
    why: str,
    at: str | None = None,
    judged: Sequence[Judged] = (),
) -> RolloutRecord:
    """The record without its candidate: the stable version goes on; ``judged``: what gates said before.

    Raises PlatformError without one.
    """
    _require_candidate(record)
    return _decided(_changed(record, "roll_back", by, why, "", at, **_NO_CANDIDATE), judged)


def returned(
    record: RolloutRecord,
    backend: Backend,
    *,
    by: str,
    why: str,
    run_id: str = "",
    at: str | None = None,
    running: bool = False,
) -> RolloutRecord:
    """The record with a package that was stable before as its candidate, which gets all requests once it answers and
    is not watched: what it replaces is no version to go back to.

    ``running``: its processes were kept, so it gets them now. Where that is the stable one still, its candidate is
    rolled back.
    """
    if record.stable is not None and record.stable.sha256 == backend.sha256:
        return record if record.candidate is None else rolled_back(record, by=by, why=why, at=at)
    if record.candidate is not None and record.candidate.identity == backend.identity and not record.strategy:
        return record
    update = {**_NO_CANDIDATE, **_NOT_WATCHED, "candidate": backend, "strategy": (), "gates": (), "watch": 0.0}
    if running:
        at = at or _now()
        update |= {"weight": LAST.weight, "step": 1, "started": at}
    return _changed(record, "return", by, why, run_id, at, **update)


def refreshed(
    record: RolloutRecord, snapshot: str, *, by: str, why: str, run_id: str = "", at: str | None = None
) -> RolloutRecord:
    """The record with the stable package and another history as its candidate; unchanged where it has that history.

    Raises PlatformError where nothing is stable, or while the rollout of another package is under way.
    """
    if record.stable is None:
        raise PlatformError(f"{record.model}: no version answers whose history could be refreshed; deploy one first")
    if record.candidate is not None and record.candidate.sha256 != record.stable.sha256:
        raise PlatformError(
            f"{record.model}: the rollout of {record.candidate.said} is under way; refresh the history after it"
        )
    backend = record.stable.model_copy(update={"snapshot": snapshot})
    if backend.identity in {present.identity for present in record.backends}:
        return record
    update = {**_NO_CANDIDATE, "candidate": backend, "strategy": (), "gates": ()}
    return _changed(record, "refresh", by, why, run_id, at, **update)


def held(record: RolloutRecord, paused: bool, *, by: str, why: str, at: str | None = None) -> RolloutRecord:
    """The record with its rollout paused, or going on. Raises PlatformError where none is under way."""
    _require_candidate(record)
    if record.paused == paused:
        return record
    return _changed(record, "pause" if paused else "resume", by, why, "", at, paused=paused)


def withdrawn(record: RolloutRecord, *, by: str, why: str, run_id: str = "", at: str | None = None) -> RolloutRecord:
    """The record with nothing that answers; its services are stopped."""
    if not record.backends:
        return record
    update = {**_NO_CANDIDATE, **_NOT_WATCHED, "stable": None, "previous": record.stable or record.previous}
    return _changed(record, "withdraw", by, why, run_id, at, **update)


def addressed(record: RolloutRecord, port: int, *, at: str | None = None, instead: str = "") -> RolloutRecord:
    """The record with the port at which the model is asked from now on.

    ``instead``: why it cannot keep the one that it has. Raises PlatformError where it has another, without a reason.
    """
    if record.port == port:
        return record
    if record.port is not None and not instead:
        raise PlatformError(f"{record.model} is asked at port {record.port}; that is never changed")
    why = f"asked at port {port}" + (f" instead of {record.port}: {instead}" if record.port is not None else "")
    return _changed(record, "address", SUPERVISOR, why, "", at, port=port)


def _require_candidate(record: RolloutRecord) -> Backend:
    if record.candidate is None:
        raise PlatformError(f"{record.model}: no rollout is under way")
    return record.candidate


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _decided(record: RolloutRecord, judged: Sequence[Judged]) -> RolloutRecord:
    """The changed record with what gates said before the change."""
    assert record.change is not None
    return record.model_copy(update={"change": record.change.model_copy(update={"judged": tuple(judged)})})


def _changed(
    record: RolloutRecord,
    action: Action,
    who: str,
    why: str,
    run_id: str,
    at: str | None,
    **update: Any,
) -> RolloutRecord:
    made = record.model_copy(update=update)
    change = Change(
        revision=record.revision + 1,
        at=at or _now(),
        who=who,
        why=why,
        action=action,
        run_id=run_id,
        before=record.stable.version if record.stable else None,
        after=made.stable.version if made.stable else None,
        stable=made.stable,
        candidate=made.candidate,
        weight=made.weight,
        shadow=made.shadow,
    )
    return made.model_copy(update={"change": change})
