"""Objects of users' code, by ``module:object``."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from ml_platform.foundation.errors import DeclarationError

#: Modules that users' code may import (scaffolds wrote the first two), by where they were in the release before.
MOVED = {
    "ml_platform.errors": "ml_platform.foundation.errors",
    "ml_platform.files": "ml_platform.foundation.files",
    "ml_platform.settings": "ml_platform.foundation.settings",
    "ml_platform.refs": "ml_platform.references.refs",
    "ml_platform.workspace": "ml_platform.pipeline.workspace",
    "ml_platform.catalogue": "ml_platform.declarations.catalogue",
}


def load_object(path: str, key: str) -> Any:
    """Import ``module:object``. Raises DeclarationError naming the declaration's key."""
    module, _, name = path.partition(":")
    if not name:
        raise DeclarationError(f"{key}: {path!r} is not of the form module:object")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise DeclarationError(f"{key}: module {module} has no object {name!r}") from None
    except ModuleNotFoundError as error:
        if error.name in MOVED:
            raise DeclarationError(f"{key}: {_moved(module, error.name)}; correct the import") from error
        raise DeclarationError(f"{key}: cannot import {module}: {type(error).__name__}: {error}") from error
    except Exception as error:
        raise DeclarationError(f"{key}: cannot import {module}: {type(error).__name__}: {error}") from error


def _moved(module: str, first: str) -> str:
    """Every import of a module that names an earlier place, so that all are corrected at once."""
    found = importlib.util.find_spec(module)
    text = Path(found.origin).read_text() if found is not None and found.origin is not None else ""
    named = [name for name in MOVED if re.search(rf"\b{re.escape(name)}\b", text)] or [first]
    return f"{module} imports " + ", ".join(f"{name}, which is {MOVED[name]} now" for name in named)
