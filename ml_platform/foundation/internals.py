"""Private parts of libraries: used in the versions that were tested, and a plain error beyond them."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version

from packaging.specifiers import SpecifierSet

from ml_platform.foundation.errors import PlatformError


@contextmanager
def internals_of(distribution: str, versions: str) -> Generator[None]:
    """A block that imports private parts of a library or relies on them.

    Raises PlatformError where the installed version is none of ``versions`` (``~=1.2.3``), or lacks the part.
    """
    installed = version(distribution)
    known = f"the platform uses private parts of it and was tested with {distribution}{versions}: install that"
    if not SpecifierSet(versions).contains(installed, prereleases=True):
        raise PlatformError(f"{distribution} {installed} is installed; {known}")
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise PlatformError(f"{distribution} {installed} lacks a part ({error}); {known}") from error
