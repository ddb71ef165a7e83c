"""Objects of users' code, by ``module:object``."""

import importlib.util
import inspect
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.raised import raised

#: Modules that users' code may import (scaffolds wrote the first two), by where they were in the release before.
MOVED = {
    "ml_platform.errors": "ml_platform.foundation.errors",
    "ml_platform.files": "ml_platform.foundation.files",
    "ml_platform.settings": "ml_platform.foundation.settings",
    "ml_platform.refs": "ml_platform.references.refs",
    "ml_platform.workspace": "ml_platform.pipeline.workspace",
    "ml_platform.catalogue": "ml_platform.declarations.catalogue",
}


class BrokenModule(DeclarationError):
    """A module of a user's own raises while it is imported: mended there, wherever it is named."""

    def __init__(self, module: str, message: str) -> None:
        super().__init__(message)
        self.module = module


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
        text = f"{key}: cannot import {module}: {type(error).__name__}: {error}"
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise DeclarationError(text) from error
        raise BrokenModule(module, text) from error
    except Exception as error:
        raise BrokenModule(module, f"{key}: cannot import {module}: {raised(error)}") from error


def _moved(module: str, first: str) -> str:
    """Every import of a module that names an earlier place, so that all are corrected at once."""
    found = importlib.util.find_spec(module)
    text = Path(found.origin).read_text() if found is not None and found.origin is not None else ""
    named = [name for name in MOVED if re.search(rf"\b{re.escape(name)}\b", text)] or [first]
    return f"{module} imports " + ", ".join(f"{name}, which is {MOVED[name]} now" for name in named)


def named(found: object) -> str:
    """``module:Class`` of an object or a class."""
    kind = found if isinstance(found, type) else type(found)
    return f"{kind.__module__}:{kind.__qualname__}"


def members(protocol: type) -> set[str]:
    """Attributes and methods that a protocol asks for."""
    own = {name for name, held in vars(protocol).items() if callable(held) or isinstance(held, property | classmethod)}
    return {name for name in {*protocol.__annotations__, *own} if not name.startswith("_")}


def require_members(found: object, protocol: type, key: str, but_for: Collection[str] = ()) -> None:
    """Raise DeclarationError naming what an object lacks of a protocol."""
    if missing := sorted(name for name in members(protocol) - set(but_for) if not hasattr(found, name)):
        asked = f"{protocol.__module__}:{protocol.__qualname__}"
        raise DeclarationError(f"{key}: {named(found)} lacks {', '.join(missing)}, which {asked} asks for")


def require_instance(found: object, path: str, key: str, methods: Collection[str]) -> None:
    """Raise DeclarationError for a class at ``module:object`` whose methods need an instance."""
    if isinstance(found, type) and any(inspect.isfunction(inspect.getattr_static(found, name)) for name in methods):
        module, _, name = path.partition(":")
        raise DeclarationError(
            f"{key}: {path} is a class; make an instance in the module ({name.lower()} = {name}()) and name it: "
            f"{module}:{name.lower()}"
        )


def shown(value: object) -> str:
    """A value in a message, in one line: arrays by type and shape."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}"  # pyright: ignore[reportAttributeAccessIssue]
    text = " ".join(repr(value).splitlines())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '…'}"
