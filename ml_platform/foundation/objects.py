"""Objects of users' code, by ``module:object``."""

import importlib
from typing import Any

from ml_platform.foundation.errors import DeclarationError


def load_object(path: str, key: str) -> Any:
    """Import ``module:object``. Raises DeclarationError naming the declaration's key."""
    module, _, name = path.partition(":")
    if not name:
        raise DeclarationError(f"{key}: {path!r} is not of the form module:object")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise DeclarationError(f"{key}: module {module} has no object {name!r}") from None
    except Exception as error:
        raise DeclarationError(f"{key}: cannot import {module}: {type(error).__name__}: {error}") from error
