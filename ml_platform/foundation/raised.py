"""What code of a user's own or the system raised, in one line: which function or file, where, and what."""

import errno
import traceback
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.user_code import is_library

_PLATFORM = Path(__file__).resolve().parents[1]
_ROOM = "make room and start it again: what was written is whole, and nothing else was"
_RIGHT = "see that this user may write there (ML_PLATFORM_LOCAL names the folder of everything that runs write)"
#: What the system refused, whoever asked, and what to do.
_SYSTEM = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EROFS: _RIGHT, errno.EACCES: _RIGHT, errno.EPERM: _RIGHT}


def raised(error: Exception) -> str:
    """An exception in one line, with the function, file and line of a user's own code where it came from there."""
    said = " ".join(str(error).split())
    text = type(error).__name__ + (f": {said[:300]}" if said else "")
    place = _place(error)
    return f"{text} (in {place})" if place else text


def explained(error: Exception) -> PlatformError | None:
    """The error for what code of a user's own raised, or a disk that is full or read-only; ``None`` for any defect."""
    if isinstance(error, PlatformError):
        return error
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        file = error.filename or "a file"
        return PlatformError(f"{file}: {(error.strerror or str(error)).lower()}; {_SYSTEM[error.errno]}")
    return PlatformError(f"{raised(error)}; correct that code") if _place(error) else None


def place_of(error: Exception) -> tuple[Path, int] | None:
    """File and line of a user's own code that raised, or that cannot be parsed."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return Path(error.filename), error.lineno
    found = _innermost(error)
    return found[1:] if found else None


def _place(error: Exception) -> str:
    found = _innermost(error)
    return f"{found[0]}, {'/'.join(found[1].parts[-2:])}:{found[2]}" if found else ""


def _innermost(error: Exception) -> tuple[str, Path, int] | None:
    """The innermost function that is no library's, if it is a user's: what a library raised is put to who called it."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if not file.is_absolute() or is_library(file):
            continue
        if file.is_relative_to(_PLATFORM) and not file.is_relative_to(_PLATFORM / "defs"):
            return None
        return frame.f_code.co_qualname, file, line
    return None
