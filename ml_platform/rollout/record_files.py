"""Rollout records as files on the supervisor's machine, so that it needs no other system to go on.

``<model>.json`` is the record, ``<model>.history.jsonl`` its history, a line for each change. The record is written
first and holds its last change: where a crash came in between, that line is added by the next change.
"""

import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import made, sync_folder, write_atomic
from ml_platform.foundation.locks import locked
from ml_platform.foundation.settings import Settings
from ml_platform.rollout.record import Change, RolloutRecord, upgraded
from ml_platform.rollout.records import MODEL_NAME, never_deployed, next_revision, require_model_name


def folder(settings: Settings) -> Path:
    """Folder of records, of the supervisor's state, lock and logs."""
    return settings.local / "rollout"


class RecordFiles:
    """One file for each model, and one of its history (see :class:`~ml_platform.rollout.records.RolloutRecords`)."""

    def __init__(self, settings: Settings) -> None:
        self.root = folder(settings) / "records"
        #: Records that were read, with what tells that a file is another one since.
        self._read: dict[str, tuple[tuple[int, int, int], RolloutRecord]] = {}

    def models(self) -> list[str]:
        """Models that have a record, sorted."""
        return sorted(path.stem for path in self.root.glob("*.json") if MODEL_NAME.match(path.stem))

    def load(self, model: str) -> RolloutRecord:
        """The record of a model. Raises MissingReference or PlatformError, see the port."""
        path = self.path(model)
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise never_deployed(model, str(path)) from None
        # Files are replaced, never written into: another one has another inode.
        seen = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if model not in self._read or self._read[model][0] != seen:
            self._read[model] = seen, self._parsed(model)[0]
        return self._read[model][1]

    def history(self, model: str, after: int = 0) -> tuple[Change, ...]:
        """Every change, oldest first. Raises as the port says."""
        self.load(model)  # says that it is missing
        record, held = self._parsed(model)
        changes = held if held is not None else self._changes(model)
        while (now := self._parsed(model)[0]).revision != record.revision:
            # Somebody changed it meanwhile: what was read belongs to neither.
            record, changes = now, self._changes(model)
        # Written with the record, and not yet in the file.
        if record.change is not None and (not changes or changes[-1].revision < record.change.revision):
            changes = [*changes, record.change]
        self._require_its_own(record, changes)
        return tuple(change for change in changes if change.revision > after)

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
        """Its file, below ``.local``."""
        return str(self.path(model).relative_to(self.root.parent.parent))

    def path(self, model: str) -> Path:
        """File of a model's record. Raises PlatformError for a name that cannot be a file."""
        require_model_name(model)
        return self.root / f"{model}.json"

    def _parsed(self, model: str) -> tuple[RolloutRecord, list[Change] | None]:
        """The record as it is written and, where an earlier release wrote it, the history in it."""
        path = self.path(model)
        try:
            value: Any = json.loads(path.read_bytes())
            held: list[Any] | None = None
            if isinstance(value, dict) and value.get("format") in (1, 2, 3):
                value, held = upgraded(value)
            record = RolloutRecord.model_validate(value)
            changes = held and [Change.model_validate(change) for change in held]
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise PlatformError(
                f"rollout record {path} is damaged at {where or 'its start'}: {first['msg']}"
            ) from error
        except ValueError as error:
            raise PlatformError(f"rollout record {path} is damaged at its start: {error}") from error
        if record.model != model:
            raise PlatformError(f"rollout record {path} is of model {record.model!r}; restore the right file")
        return record, changes

    def _changes(self, model: str) -> list[Change]:
        """What the file of the history holds; a line that a crash cut off is left out."""
        path = self._history(model)
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        try:
            # What follows the last end of a line is empty, or was cut off.
            return [Change.model_validate_json(line) for line in lines[:-1]]
        except ValidationError as error:
            raise PlatformError(f"history {path} is damaged: {error.errors(include_url=False)[0]['msg']}") from error

    def _require_its_own(self, record: RolloutRecord, changes: Sequence[Change]) -> None:
        """Raise PlatformError where a history does not lead to its record: ledger and registry follow the history."""
        revisions = [change.revision for change in changes]
        disordered = any(one >= other for one, other in pairwise(revisions))
        if disordered or (changes and record.change is not None and changes[-1] != record.change):
            raise PlatformError(
                f"history {self._history(record.model)} does not lead to its record, which is at revision "
                f"{record.revision}: somebody edited one of them; restore both from a backup, or take out the lines "
                "that are not from the platform"
            )

    def _history(self, model: str) -> Path:
        return self.path(model).with_suffix(".history.jsonl")

    def _present(self, model: str) -> RolloutRecord:
        try:
            return self.load(model)
        except MissingReference:
            return RolloutRecord(model=model)

    def _save(self, record: RolloutRecord) -> RolloutRecord:
        present = self._present(record.model)
        saved = next_revision(present, record)
        assert saved.change is not None  # it says what changed
        if present.revision:
            self._catch_up(present)
        write_atomic(self.path(record.model), saved.model_dump_json(indent=1) + "\n")
        self._append(record.model, saved.change)
        return saved

    def _catch_up(self, present: RolloutRecord) -> None:
        """Let the file of the history hold what led to the record: written by an earlier release, or before a crash."""
        path = self._history(present.model)
        _, held = self._parsed(present.model)
        if held is not None:
            write_atomic(path, "".join(f"{change.model_dump_json()}\n" for change in held))
            return
        whole = path.read_bytes() if path.exists() else b""
        if whole and not whole.endswith(b"\n"):
            write_atomic(path, whole[: whole.rfind(b"\n") + 1])
        if present.change is not None and _last(path) < present.change.revision:
            self._append(present.model, present.change)

    def _append(self, model: str, change: Change) -> None:
        path = self._history(model)
        new = not path.exists()
        with path.open("ab") as file:
            file.write(change.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(path.parent)

    @contextmanager
    def held(self) -> Generator[None]:
        """Nobody changes a record until the block ends."""
        with ExitStack() as stack:
            for model in self.models():
                stack.enter_context(self._locked(model))
            yield

    def _locked(self, model: str) -> AbstractContextManager[None]:
        path = self.path(model)
        made(path.parent)
        return locked(path.with_name(f".{model}.lock"))


def _last(path: Path) -> int:
    """Revision of the last line of a history, read from its end: however long it is, the cost is the same."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (64 << 10)))
        lines = file.read().splitlines()
    return int(json.loads(lines[-1])["revision"]) if lines else 0
