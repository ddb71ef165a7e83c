"""A service that is started for a check ends with the process that checks it, also when that one is killed."""

import os
import signal
import threading
import time

from ml_platform.foundation.variables import PARENT

#: Seconds that running requests get.
GRACE = 5


def end_with_parent() -> None:
    """Watch the pipe in a thread: it has an end once the process at the other side has one. Nothing without a pipe."""
    descriptor = os.environ.get(PARENT)
    if descriptor:
        threading.Thread(target=_watch, args=(int(descriptor),), name="parent", daemon=True).start()


def _watch(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
