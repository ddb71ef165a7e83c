"""A service that is started for a check ends with the process that checks it, also when that one is killed."""

import os
import signal
import threading
import time

#: Environment variable with the descriptor of a pipe whose other end the starting process holds.
DESCRIPTOR = "ML_PLATFORM_PARENT_FD"
#: Seconds that running requests get.
GRACE = 5


def end_with_parent() -> None:
    """Watch the pipe in a thread: it has an end once the process at the other side has one. Nothing without a pipe."""
    descriptor = os.environ.get(DESCRIPTOR)
    if descriptor:
        threading.Thread(target=_watch, args=(int(descriptor),), name="parent", daemon=True).start()


def _watch(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
