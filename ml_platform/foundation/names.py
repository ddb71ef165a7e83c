"""What a name that nobody knows was probably meant to be."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like ``name``; empty where none is near."""
    near = get_close_matches(name.lower(), {one.lower(): one for one in known}, n=1)
    return next((one for one in known if near and one.lower() == near[0]), "")


def some(names: Sequence[str], first: int = 3) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:first]) + (f" and {len(names) - first} more" if len(names) > first else "")


def strange(name: object) -> str:
    """A name that somebody else chose, as a message may show it: escaped, and 60 characters of it."""
    return ascii(str(name)[:60])


def listed(names: Iterable[str]) -> str:
    """Names as a page lists them, each as code."""
    return ", ".join(f"`{name}`" for name in names)


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: ``; did you mean 'this'?``, or nothing."""
    near = nearest(name, tuple(known))
    return f"; did you mean {near!r}?" if near else ""
