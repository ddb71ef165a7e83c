"""Names that a store can hold, and what it says of others: the same whichever adapter it is."""

import re
from collections.abc import Container

from ml_platform.datasets.store import MAIN, AlreadyExists, InvalidName, NotFound, Protected

# What names a branch or tag, and a repository: what lakeFS accepts, whose \\w knows no letters beyond ASCII.
_NAME = re.compile(r"\w[-\w]*", re.ASCII)
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
#: How stores write the ids of commits.
COMMIT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


def check_repository(name: str) -> str:
    """``name`` itself where it can name a repository. Raises InvalidName."""
    if not _REPOSITORY.fullmatch(name):
        raise InvalidName(f"repository {name!r}: use 3 to 63 lower-case letters, digits and '-'")
    return name


def check_name(kind: str, name: str) -> None:
    """Raise InvalidName where ``name`` cannot name a branch or a tag."""
    if not _NAME.fullmatch(name) or len(name) > 200 or COMMIT_ID.fullmatch(name):
        raise InvalidName(
            f"{kind} {name!r}: use up to 200 letters, digits, '_' and '-', not starting with '-' "
            "and not of the form of a commit id"
        )


def ancestor(ref: str) -> tuple[str, int]:
    """What a reference starts from, and how many first parents back it goes: 2 of ``main~2``. Raises InvalidName."""
    base, tilde, steps = ref.partition("~")
    if tilde and not steps.isdecimal():
        raise InvalidName(f"reference {ref!r}: '~' must be followed by a number")
    return base, int(steps or 0)


def check_commit_id(name: str) -> str:
    """``name`` itself where it is an id of a commit. Raises InvalidName."""
    if not COMMIT_ID.fullmatch(name):
        raise InvalidName(f"{name!r} is no id of a commit")
    return name


def check_deletable(branch: str, protected: Container[str]) -> None:
    """Raise Protected for a branch that stays, and InvalidName for what names none."""
    if branch == MAIN or branch in protected:
        raise Protected(f"branch {branch!r} is protected: it cannot be deleted")
    check_name("branch", branch)


def taken(kind: str, name: str, why: str) -> AlreadyExists:
    """A branch or tag of that name is there already; ``why`` says where, or as what."""
    return AlreadyExists(f"{kind} {name!r} exists already {why}")


def unknown(ref: str, repository: str) -> NotFound:
    """A reference that is nothing here."""
    return NotFound(f"{ref!r} is no branch, tag or commit of {repository}")
