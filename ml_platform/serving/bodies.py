"""The bodies of answers. Imported inside the packaged service."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from ml_platform.models.checked import optional
from ml_platform.models.task import Task


def answer_model(task: Task) -> type[BaseModel]:
    """The body of an answer: the task's fields, then model and version; ``stale`` where history is too old, ``unseen``
    where texts of some rows were in no row of training: column to those rows, from 0."""
    fields: dict[str, Any] = {name: (kind, None if optional(kind) else ...) for name, kind in task.fields.items()}
    return create_model(
        "Answer",
        __config__=ConfigDict(protected_namespaces=()),
        __doc__=task.answer.__doc__,
        **fields,
        model=(str, ...),
        version=(int, ...),
        stale=(bool | None, None),
        unseen=(dict[str, list[int]] | None, None),
    )


def refused(message: str) -> bytes:
    """The body of an answer that is none."""
    return json.dumps({"error": message}, ensure_ascii=False, separators=(",", ":")).encode()
