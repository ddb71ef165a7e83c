"""Adapters of a project's own in place of the platform's, as the setting ``adapters`` names them.

The factories of the rooms ask here first, so that commands, steps in Dagster, replay and the supervisor have the same.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Protocol, TypeVar

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import load_object, named, require_members, shown
from ml_platform.foundation.project import NoProject, current_project
from ml_platform.foundation.raised import raised
from ml_platform.foundation.settings import Settings

T = TypeVar("T")

KEY = "ML_PLATFORM_ADAPTERS"
#: What a project may keep in a place, or send by a way, of its own.
PORTS = ("alerts", "references", "rollouts", "store")


class Adapters(Protocol):
    """The function that the setting names: port to what opens its adapter under these settings.

    What opens a store may take ``create`` too, by name: False for a command that only looks.
    """

    def __call__(self) -> Mapping[str, Callable[[Settings], Any]]: ...


def opened(settings: Settings, port: str, protocol: type[T], **offered: Any) -> T | None:
    """The project's own adapter of one of :data:`PORTS`; None where it has none.

    ``offered`` are arguments that what opens it gets by name, as far as it takes them.
    Raises DeclarationError where the setting names no such function, or what that gives is no adapter.
    """
    given = named_adapters(settings)
    if port not in given:
        return None
    path = settings.adapters
    found = _called(f"{path}, {port}", given[port], settings, **_taken(given[port], offered))
    if isinstance(found, type):
        raise DeclarationError(f"{KEY}: {path}, {port}: gave the class {named(found)}; give an instance of it")
    require_members(found, protocol, f"{KEY}: {path}, {port}")
    return found


def named_adapters(settings: Settings) -> Mapping[str, Callable[[Settings], Any]]:
    """What opens the project's own adapters, by port; none where the setting is empty. None is opened.

    Raises DeclarationError where the setting names no function that gives such.
    """
    if not settings.adapters:
        return {}
    path = settings.adapters
    with suppress(NoProject):  # What is installed can be imported without a project.
        current_project()
    function = load_object(path, KEY)
    if not callable(function):
        raise DeclarationError(f"{KEY}: {path} is {shown(function)}; expected a function that returns adapters by port")
    given = _called(path, function)
    if not isinstance(given, Mapping) or not all(map(callable, given.values())):
        raise DeclarationError(f"{KEY}: {path} returned {shown(given)}; expected functions of the settings by port")
    if unknown := sorted(str(name) for name in given if name not in PORTS):
        raise DeclarationError(f"{KEY}: {path} names {', '.join(unknown)}; the ports are {', '.join(PORTS)}")
    return given


def held(adapter: object) -> AbstractContextManager[None]:
    """Nothing is written to an adapter until the block ends, where it has a method ``held`` for that."""
    hold = getattr(adapter, "held", None)
    return nullcontext() if hold is None else hold()


def _taken(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):  # what is written in C says nothing of its arguments
        return {}
    return {name: value for name, value in offered.items() if name in names}


def _called(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return function(*arguments, **named)
    except PlatformError:
        raise
    except Exception as error:
        raise DeclarationError(f"{KEY}: {what}: {raised(error)}") from error
