"""Rollout records as files on the supervisor's machine, so that it needs no other system to go on."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import ValidationError

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import made, write_atomic
from ml_platform.foundation.locks import locked
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record import RolloutRecord
from ml_platform.rollout.records import StaleRecord

#: Model names become file names.
MODEL_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,99}$")


def folder(settings: Settings) -> Path:
    """Folder of records, of the supervisor's state, lock and logs."""
    return settings.local / "rollout"


class RecordFiles:
    """One file for each model (see :class:`~ml_platform.rollout.records.RolloutRecords`)."""

    def __init__(self, settings: Settings) -> None:
        self.root = folder(settings) / "records"

    def models(self) -> list[str]:
        """Models that have a record, sorted."""
        return sorted(path.stem for path in self.root.glob("*.json") if MODEL_NAME.match(path.stem))

    def load(self, model: str) -> RolloutRecord:
        """The record of a model. Raises MissingReference or PlatformError, see the port."""
        path = self.path(model)
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
            raise PlatformError(
                f"rollout record {path} is damaged at {where or 'its start'}: {first['msg']}"
            ) from error
        if record.model != model:
            raise PlatformError(f"rollout record {path} is of model {record.model!r}; restore the right file")
        return record

    def save(self, record: RolloutRecord) -> RolloutRecord:
        """Save a changed record. Raises StaleRecord or PlatformError, see the port."""
        with self._locked(record.model):
            return self._save(record)

    def update(self, model: str, change: Callable[[RolloutRecord], RolloutRecord]) -> RolloutRecord:
        """Load (or begin) a record, change it and save it, under its lock; unchanged, nothing is written."""
        with self._locked(model):
            present = self._present(model)
            changed = change(present)
            return present if changed == present else self._save(changed)

    def location(self, model: str) -> str:
        """Its file."""
        return str(self.path(model))

    def path(self, model: str) -> Path:
        """File of a model's record. Raises PlatformError for a name that cannot be a file."""
        if not MODEL_NAME.match(model):
            raise PlatformError(f"model name {model!r} is not usable: it must match {MODEL_NAME.pattern}")
        return self.root / f"{model}.json"

    def _present(self, model: str) -> RolloutRecord:
        try:
            return self.load(model)
        except MissingReference:
            return RolloutRecord(model=model)

    def _save(self, record: RolloutRecord) -> RolloutRecord:
        present = self._present(record.model)
        if record.revision != present.revision:
            raise StaleRecord(
                f"rollout record of {record.model} is at revision {present.revision}, not {record.revision}: "
                "somebody changed it meanwhile; load it again"
            )
        if record.history[: len(present.history)] != present.history:
            raise PlatformError(f"rollout record of {record.model}: its history may only be appended to")
        saved = record.model_copy(update={"revision": record.revision + 1})
        write_atomic(self.path(record.model), saved.model_dump_json(indent=1) + "\n")
        return saved

    def _locked(self, model: str) -> AbstractContextManager[None]:
        path = self.path(model)
        made(path.parent)
        return locked(path.with_name(f".{model}.lock"))
