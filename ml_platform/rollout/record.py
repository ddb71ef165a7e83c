"""The rollout record: which version of a model answers. Its file is the only truth that the supervisor follows."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.locks import locked
from ml_platform.foundation.settings import Settings
from ml_platform.references.refs import ServiceRef

#: Model names become file names.
MODEL_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,99}$")


class StaleRecord(PlatformError):
    """The record was changed by somebody else since it was read."""


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


def folder(settings: Settings) -> Path:
    """Folder of records, of the supervisor's state, lock and logs."""
    return settings.local / "rollout"


def record_path(settings: Settings, model: str) -> Path:
    """File of a model's record."""
    if not MODEL_NAME.match(model):
        raise PlatformError(f"model name {model!r} is not usable: it must match {MODEL_NAME.pattern}")
    return folder(settings) / "records" / f"{model}.json"


def load(settings: Settings, model: str) -> RolloutRecord:
    """The record of a model. Raises MissingReference when it was never deployed, PlatformError for a damaged file."""
    path = record_path(settings, model)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingReference(
            f"{model} was never deployed: no rollout record {path}; deploy a version first"
        ) from None
    try:
        record = RolloutRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PlatformError(f"rollout record {path} is damaged at {where or 'its start'}: {first['msg']}") from error
    if record.model != model:
        raise PlatformError(f"rollout record {path} is of model {record.model!r}; restore the right file")
    return record


def models(settings: Settings) -> list[str]:
    """Models that have a record, sorted."""
    return sorted(path.stem for path in (folder(settings) / "records").glob("*.json") if MODEL_NAME.match(path.stem))


def save(settings: Settings, record: RolloutRecord) -> RolloutRecord:
    """Save a changed record; returns it with the next revision.

    ``record.revision`` must be that of the file, else :class:`StaleRecord` is raised. A shortened or rewritten
    history is refused with :class:`PlatformError`.
    """
    with _locked(settings, record.model):
        return _save(settings, record)


def update(settings: Settings, model: str, change: Callable[[RolloutRecord], RolloutRecord]) -> RolloutRecord:
    """Load (or begin) a record, change it and save it, under its lock; unchanged, nothing is written."""
    with _locked(settings, model):
        present = _present(settings, model)
        changed = change(present)
        return present if changed == present else _save(settings, changed)


def _present(settings: Settings, model: str) -> RolloutRecord:
    try:
        return load(settings, model)
    except MissingReference:
        return RolloutRecord(model=model)


def _save(settings: Settings, record: RolloutRecord) -> RolloutRecord:
    present = _present(settings, record.model)
    if record.revision != present.revision:
        raise StaleRecord(
            f"rollout record of {record.model} is at revision {present.revision}, not {record.revision}: "
            "somebody changed it meanwhile; load it again"
        )
    if record.history[: len(present.history)] != present.history:
        raise PlatformError(f"rollout record of {record.model}: its history may only be appended to")
    saved = record.model_copy(update={"revision": record.revision + 1})
    write_atomic(record_path(settings, record.model), saved.model_dump_json(indent=1) + "\n")
    return saved


def _locked(settings: Settings, model: str) -> AbstractContextManager[None]:
    return locked(record_path(settings, model).with_name(f".{model}.lock"))


def deploy(settings: Settings, service: ServiceRef, *, run_id: str = "", by: str, why: str) -> Path:
    """Make a packaged service the stable one of its model, alone, and save; returns the record's file.

    Deploying what is stable already changes nothing, so that a step may be repeated.
    """
    backend = Backend(version=service.version, tag=service.tag, sha256=service.sha256, path=service.path)
    update(settings, service.model, lambda record: deployed(record, backend, run_id=run_id, by=by, why=why))
    return record_path(settings, service.model)


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
