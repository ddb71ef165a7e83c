"""The rollout record: which version of a model answers. The only truth that the supervisor follows.

Its changes are pure: a function makes the next record, :mod:`ml_platform.rollout.records` keeps it.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Backend(_Strict):
    """A packaged service that may answer."""

    version: int
    #: ``name:version`` of the Bento, and the identity of its content.
    tag: str
    sha256: str
    #: Folder of the package.
    path: str
    #: Port to listen on; None lets the supervisor take a free one of the settings' range.
    port: int | None = None


class Change(_Strict):
    """One change of the record."""

    revision: int
    #: ISO time.
    at: str
    who: str
    why: str
    action: str
    #: Run that made it; empty when a person did.
    run_id: str = ""
    #: Stable version before and after.
    before: int | None
    after: int | None


class RolloutRecord(_Strict):
    """Versions of one model and their shares of traffic. ``weight`` and ``shadow`` are percent of the candidate."""

    format: Literal[1] = 1
    model: str
    #: Counts saved changes; saving compares it, so that none is overwritten unseen.
    revision: int = 0
    stable: Backend | None = None
    candidate: Backend | None = None
    weight: int = Field(default=0, ge=0, le=100)
    shadow: int = Field(default=0, ge=0, le=100)
    step: int = Field(default=0, ge=0)
    #: When the present step started, ISO time.
    started: str | None = None
    rules: dict[str, Any] = {}
    #: Every change, oldest first; only ever appended to.
    history: tuple[Change, ...] = ()

    @model_validator(mode="after")
    def _shares_need_candidate(self) -> "RolloutRecord":
        if self.candidate is None and (self.weight or self.shadow):
            raise ValueError("weight and shadow need a candidate")
        return self

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The packages that must run: stable, then candidate."""
        return tuple(backend for backend in (self.stable, self.candidate) if backend is not None)


def deployed(
    record: RolloutRecord, backend: Backend, *, by: str, why: str, run_id: str = "", at: str | None = None
) -> RolloutRecord:
    """The record with ``backend`` as its stable version, alone; not saved. ``at``: ISO time, by default now."""
    if record.stable == backend and record.candidate is None:
        return record
    at = at or datetime.now(UTC).isoformat(timespec="seconds")
    change = _change(record, "deploy", by, why, at, run_id, backend.version)
    return record.model_copy(
        update={
            "stable": backend,
            "candidate": None,
            "weight": 0,
            "shadow": 0,
            "step": 0,
            "started": at,
            "history": (*record.history, change),
        }
    )


def withdrawn(record: RolloutRecord, *, by: str, why: str, run_id: str = "", at: str | None = None) -> RolloutRecord:
    """The record with nothing deployed; its services are stopped. Not saved."""
    if not record.backends:
        return record
    at = at or datetime.now(UTC).isoformat(timespec="seconds")
    change = _change(record, "withdraw", by, why, at, run_id, None)
    emptied = {"stable": None, "candidate": None, "weight": 0, "shadow": 0, "step": 0, "started": None}
    return record.model_copy(update={**emptied, "history": (*record.history, change)})


def _change(record: RolloutRecord, action: str, who: str, why: str, at: str, run_id: str, after: int | None) -> Change:
    return Change(
        revision=record.revision + 1,
        at=at,
        who=who,
        why=why,
        action=action,
        run_id=run_id,
        before=record.stable.version if record.stable else None,
        after=after,
    )
