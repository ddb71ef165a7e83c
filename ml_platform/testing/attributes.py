"""What a suite is given as attributes of its class, looked at once, where the class is made."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.objects import shown

#: Attribute to whether a value will do, and what is expected, in words.
Wanted = Mapping[str, tuple[Callable[[Any], bool], str]]


def require_attributes(suite: type, wanted: Wanted) -> None:
    """Raises DeclarationError for an attribute that the class itself gives and that is of another kind.

    A property is not asked: what it gives is known only in a test.
    """
    for name, (will_do, expected) in wanted.items():
        given = vars(suite).get(name)
        if name in vars(suite) and not hasattr(given, "__get__") and not will_do(given):
            raise DeclarationError(f"{suite.__name__}.{name} is {shown(given)}; expected {expected}")


def others(values: Iterable[object], kind: type) -> list[object]:
    """Those that are of no such kind."""
    return [one for one in values if not isinstance(one, kind)]


def told_of(error: BaseException) -> list[str]:
    """What logs show of an error: itself, and each reason behind it, with their notes."""
    found: list[str] = []
    shown_next: BaseException | None = error
    while shown_next is not None and len(found) < 20:
        found += [str(shown_next), repr(shown_next), *getattr(shown_next, "__notes__", ())]
        context = None if shown_next.__suppress_context__ else shown_next.__context__
        shown_next = shown_next.__cause__ or context
    return found
