"""Whether the process that started something still lives."""

import os
import socket
from pathlib import Path


def _process_start(pid: int) -> str | None:
    """When the process started, as text that no later process of the same id shares; None: it is gone."""
    import psutil

    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        try:
            return str(psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None
    try:
        # Fields after the command (which may hold spaces and brackets): state first, start in ticks (22nd).
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    if path.exists():
        return path.read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))


def process_identity(pid: int | None = None) -> str:
    """``host:pid:start:boot`` of a living process (default: this one); no other process ever has the same."""
    pid = pid or os.getpid()
    return f"{socket.gethostname()}:{pid}:{_process_start(pid)}:{_boot()}"


def is_dead(identity: str) -> bool:
    """Whether the process is known to be gone: it ran on this host, and is over or of an earlier boot."""
    parts = identity.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != socket.gethostname() or not parts[1].isdigit():
        return False
    return parts[3] != _boot() or _process_start(int(parts[1])) != parts[2]
