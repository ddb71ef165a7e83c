"""The router's one process: started, taken over, and started again when it ends."""

import logging
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.inherited import inherited, search_path
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import IDENTITY, OWNER
from ml_platform.rollout.identity import stray_routers
from ml_platform.rollout.processes import ROUTER, RouterState, owner
from ml_platform.rollout.record_files import folder
from ml_platform.rollout.routers.router import Route, Router
from ml_platform.serving import process

logger = logging.getLogger(__name__)

#: Seconds before a router that ended at once is started again: doubled from the first to the second figure. One that
#: ran longer than the second is started at once.
BACKOFF = (0.2, 10.0)


class Keeper:
    """Keeps the process of a router running; ``state`` is what the supervisor's state shows."""

    def __init__(self, settings: Settings, router: Router) -> None:
        self.settings, self.router = settings, router
        self.state = RouterState(kind=router.kind)
        self._delay = 0.0
        self._started = self._retry_at = 0.0

    @property
    def place(self) -> Path:
        """The folder in which the process works, with all that it reads."""
        return folder(self.settings) / self.router.kind

    @property
    def log(self) -> Path:
        """What the process wrote."""
        return folder(self.settings) / "logs" / f"{self.router.kind}.log"

    def adopt(self) -> None:
        """Take over the process of an earlier supervisor; end one of another kind or of an earlier release whose
        addresses are others, or that nobody recorded. A recorded one that no supervisor started is left alone."""
        if self.state.running and not self._started_here():
            logger.error("%s (pid %s) is not taken over: no supervisor started it", self.state.kind, self.state.pid)
            self.state = RouterState(kind=self.router.kind)
        if self.state.running:
            if self._fits():
                logger.info("took over %s (pid %s)", self.state.kind, self.state.pid)
                self.router.watch(self.state.pid)
            else:
                process.stop(self.state.pid, self.state.start_time)
        if self.state.kind != self.router.kind:
            self.state = RouterState(kind=self.router.kind)
        for pid, started in stray_routers(self.settings, {self.state.pid}):
            process.stop(pid, started)

    def _started_here(self) -> bool:
        return (self.state.pid, self.state.start_time) in stray_routers(self.settings, set())

    def _fits(self) -> bool:
        """Whether the process runs the command of this release, in the folder where what it reads is written."""
        try:
            wanted = self.router.command()
        except PlatformError:
            return False
        return process.command(self.state.pid) == wanted and process.works_in(self.state.pid, self.place)

    def _misled(self) -> str:
        """Why the process that runs does not carry out what is written; empty where it does."""
        if not process.works_in(self.state.pid, self.place):
            return f"it works in another folder than {self.place}, which was moved or replaced"
        return self.router.doubt()

    def keep(self, routes: Sequence[Route]) -> None:
        """Write what is wanted and, where there is anything, let the process run."""
        if self.state.running and (why := self._misled()):
            logger.error("%s (pid %s) is ended and started anew: %s", self.router.kind, self.state.pid, why)
            process.signal_group(self.state.pid, self.state.start_time, signal.SIGKILL)
        self.router.write(routes)
        now = time.monotonic()
        if self.state.running or now < self._retry_at or not routes:
            return
        if self.state.pid:
            logger.error("%s ended: %s", self.router.kind, process.tail(self.log))
            self.state.restarts += 1
            lasted = now - self._started > BACKOFF[1]
            self._delay = 0.0 if lasted else min(BACKOFF[1], self._delay * 2 or BACKOFF[0])
        self._retry_at = now + self._delay
        self._started = now
        try:
            self._start()
        except (OSError, PlatformError) as error:
            logger.error("%s does not start: %s", self.router.kind, error)
            self._retry_at = now + BACKOFF[1]

    def stop(self) -> None:
        """End the process."""
        process.stop(self.state.pid, self.state.start_time)

    def _start(self) -> None:
        command = self.router.command()
        # What is left of one that was killed.
        for name in ("admin.sock", "applied.json"):
            (self.place / name).unlink(missing_ok=True)
        process.rotate(self.log)
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                command,
                cwd=self.place,
                env={**inherited(), "PYTHONPATH": search_path(), OWNER: owner(self.settings), IDENTITY: ROUTER},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.returncode = 0  # taken by pid, see process.reap
        self.state.pid, self.state.start_time = child.pid, process.start_time(child.pid) or 0.0
        self.router.watch(child.pid)
        logger.info("%s (pid %s): started", self.router.kind, child.pid)
