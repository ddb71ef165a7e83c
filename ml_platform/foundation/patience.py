"""How long something that is away is waited for: steps of runs wait, a person at a terminal is told."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ml_platform.foundation.errors import PlatformError

if TYPE_CHECKING:
    from tenacity import RetryCallState

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that commands wait, and everybody for what never answered in this process: a wrong address is no outage.
COMMAND_SECONDS = 10.0
#: First and longest pause between two attempts, seconds; pauses double, spread at random.
PAUSES = (0.25, 5.0)
#: Seconds between two lines of the log about one wait.
TOLD_EVERY = 15.0
#: Seconds for which nobody waits again for what was waited for in vain.
IN_VAIN = 60.0

_log = logging.getLogger(__name__)


class Away(PlatformError):
    """Something does not answer, which may pass: what was asked may be asked again."""


class _Waits(threading.local):
    """Whether this thread waits already, so that one wait is not multiplied by another around it."""

    inside = False


#: For all threads: those that a step starts wait as it does. The first is that of commands.
_seconds: list[float] = [COMMAND_SECONDS]
_answered: set[str] = set()
#: When waiting ended in vain: who asked all the same for something else is not kept waiting once more.
_in_vain: dict[str, float] = {}
_waits = _Waits()


def limit(seconds: float) -> None:
    """Let commands of this process wait no longer than that, if that is less than :data:`COMMAND_SECONDS`."""
    _seconds[0] = min(COMMAND_SECONDS, seconds)


@contextmanager
def waiting(seconds: float) -> Generator[None]:
    """Let this process wait for so long, within the block, for what answered before."""
    _seconds.append(seconds)
    try:
        yield
    finally:
        _seconds.pop()


def patience(where: str) -> float:
    """Seconds to wait for what is at ``where`` (an address, for messages and as a key)."""
    if time.monotonic() - _in_vain.get(where, float("-inf")) < IN_VAIN:
        return 0.0
    return _seconds[-1] if where in _answered else min(_seconds[0], _seconds[-1])


def answered(where: str) -> None:
    """Note that something answered at ``where``."""
    _answered.add(where)
    _in_vain.pop(where, None)


def in_vain(where: str) -> None:
    """Note that ``where`` was waited for and did not answer: for a minute it is asked once each time."""
    _in_vain.setdefault(where, time.monotonic())


def patiently(
    where: Callable[..., str], pauses: tuple[float, float] = PAUSES
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Call a function again while it raises :class:`Away`, as long as patience for ``where(...)`` lasts.

    The function has to be one that may be called again. The last :class:`Away` is raised.
    """

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

            if _waits.inside:
                return function(*args, **kwargs)
            place = where(*args, **kwargs)
            retrying = Retrying(
                stop=stop_after_delay(patience(place)),
                wait=wait_random_exponential(*pauses),
                retry=retry_if_exception_type(Away),
                before_sleep=telling(place),
                reraise=True,
            )
            _waits.inside = True
            try:
                result = retrying(function, *args, **kwargs)
            except Away:
                in_vain(place)
                raise
            finally:
                _waits.inside = False
            answered(place)
            return result

        return call

    return decorated


def telling(where: str) -> "Callable[[RetryCallState], None]":
    """What says in the log, a line a while, that ``where`` is waited for, and for how long at most."""
    told = [float("-inf")]

    def tell(state: "RetryCallState") -> None:
        if time.monotonic() - told[0] < TOLD_EVERY:
            return
        told[0] = time.monotonic()
        error = state.outcome.exception() if state.outcome else None
        left = max(0.0, patience(where) - (state.seconds_since_start or 0.0))
        _log.warning("%s is away, it is waited for up to %.0f s more: %s", where, left, error)

    return tell
