"""Objects of users' code, by ``module:object``."""

import importlib.util
import inspect
import re
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, cast

from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.names import meant
from ml_platform.foundation.raised import place_of, raised

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

    def __init__(self, module: str, message: str, error: Exception) -> None:
        super().__init__(message)
        self.module = module
        #: File and line that raised, where they are a user's own.
        self.place = place_of(error)


def import_path(table: Mapping[str, str], name: str, key: str) -> str:
    """``module:Class`` of what a declaration names: from the table, or as it stands.

    Raises DeclarationError for a name that is neither.
    """
    if ":" in name:
        return name
    if name not in table:
        raise DeclarationError(f"{key}: there is no {name!r}; use {', '.join(table)} or module:Class of your own")
    return table[name]


def load_object(path: str, key: str) -> Any:
    """Import ``module:object``. Raises DeclarationError naming the declaration's key."""
    module, _, name = path.partition(":")
    if not name:
        raise DeclarationError(f"{key}: {path!r} is not of the form module:object")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name in MOVED:
            raise DeclarationError(f"{key}: {_moved(module, error.name)}; correct the import") from error
        text = f"{key}: cannot import {module}: {type(error).__name__}: {error}"
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise DeclarationError(text) from error
        raise BrokenModule(module, text, error) from error
    except Exception as error:
        raise BrokenModule(module, f"{key}: cannot import {module}: {raised(error)}", error) from error
    try:
        return getattr(found, name)
    except AttributeError:
        known = [one for one in vars(found) if not one.startswith("_")]
        raise DeclarationError(f"{key}: module {module} has no object {name!r}{meant(name, known)}") from None


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


def require_texts(value: object, who: str) -> None:
    """Raise DeclarationError where what ``who`` names is no tuple of texts."""
    if not isinstance(value, tuple) or not all(isinstance(one, str) for one in cast("tuple[object, ...]", value)):
        example = f", such as ({value!r},)" if isinstance(value, str) else ""
        raise DeclarationError(f"{who} is {shown(value)}; expected a tuple of texts{example}")


def not_installed(distribution: str) -> str:
    """Why a distribution cannot be found, with the way out; empty where it is installed."""
    try:
        version(distribution)
    except (PackageNotFoundError, ValueError):
        known = packages_distributions().get(distribution, [])
        guess = f"; is it {' or '.join(sorted(set(known)))}?" if known else "; install it, or correct the name"
        return f"{distribution!r} is not installed as a distribution{guess}"
    return ""


def shown(value: object) -> str:
    """A value in a message, in one line: arrays by type and shape."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}"  # pyright: ignore[reportAttributeAccessIssue]
    text = " ".join(repr(value).splitlines())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '…'}"
