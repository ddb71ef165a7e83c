"""Which processes are ours, by what the system says of them: the state is a file that anybody may edit.

A process of the same user that runs the same command with the same environment in the same package cannot be told from
one of ours.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import IDENTITY, OWNER
from ml_platform.rollout.processes import ROUTER, Key, ServiceState, copy_of, owner
from ml_platform.serving import bundle, process


def doubt(settings: Settings, service: ServiceState) -> str:
    """Why a running process is not the one that a supervisor of this installation started for a service; else empty.

    It has the name that was given to it then, leads its session, and runs the worker of its own copy of the package,
    which has the content that the service names, by the Python of this process. An earlier release ran the package.
    """
    import psutil

    places = copy_of(settings, service), (settings.local / service.path).resolve()
    try:
        found = psutil.Process(service.pid)
        environment, command, folder, program = found.environ(), found.cmdline(), found.cwd(), found.exe()
        if environment.get(OWNER) != owner(settings) or not process.leads_session(service.pid):
            return "no supervisor of this installation started it"
        if _named(environment.get(IDENTITY, "")) != (service.key, service.port):
            return "it was started for another service"
        package = next((place for place in places if process.runs(command, place)), None)
        if program != psutil.Process().exe() or package is None:
            return "it runs another command"
        if Path(folder) != package / bundle.SOURCE:
            return "it runs in another folder"
        bundle.tag_of(package, service.sha256)
    except (psutil.Error, OSError, PlatformError) as error:
        return f"it cannot be told what it is ({error})"
    return ""


def orphans(settings: Settings, known: set[int]) -> Iterator[tuple[int, float, Key, int]]:
    """Services of this installation that no state mentions: pid, start time, which it is, port.

    A supervisor that is killed between starting a service and recording it leaves one.
    """
    for pid, started, identity in _ours(settings, known):
        if (named := _named(identity)) is not None:
            yield pid, started, *named


def stray_routers(settings: Settings, known: set[int]) -> Iterator[tuple[int, float]]:
    """Routers of this installation that no state mentions: pid, start time."""
    for pid, started, identity in _ours(settings, known):
        if identity == ROUTER:
            yield pid, started


def _named(identity: str) -> tuple[Key, int] | None:
    """Which service, and its port, a process is called; None for any other name."""
    model, *rest = identity.split() or [""]
    if len(rest) not in (2, 4):
        return None
    # An earlier release named neither history nor number.
    sha256, port, snapshot, replica = [*rest, "-", "0"][:4]
    return (model, (sha256, snapshot.removeprefix("-")), int(replica)), int(port)


def _ours(settings: Settings, known: set[int]) -> Iterator[tuple[int, float, str]]:
    """Processes that a supervisor of this installation started: pid, start time, what it called them."""
    import psutil

    mine = owner(settings)
    for found in psutil.process_iter():
        if found.pid in known or found.pid == os.getpid():
            continue
        try:
            environment = found.environ()
        except (psutil.Error, OSError):
            continue  # another user's process, or one that has just ended
        if environment.get(OWNER) != mine or IDENTITY not in environment:
            continue
        started = process.start_time(found.pid)
        if started is not None and process.leads_session(found.pid):
            yield found.pid, started, environment[IDENTITY]
