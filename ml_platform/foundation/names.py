"""What a name that nobody knows was probably meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like ``name``; empty where none is near."""
    near = get_close_matches(name.lower(), {one.lower(): one for one in known}, n=1)
    return next((one for one in known if near and one.lower() == near[0]), "")


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: ``; did you mean 'this'?``, or nothing."""
    near = nearest(name, tuple(known))
    return f"; did you mean {near!r}?" if near else ""
