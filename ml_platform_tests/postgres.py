"""A PostgreSQL server of the tests' own, where its binaries are installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """Folder with ``initdb`` and ``postgres``; None where they are not installed."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def server(folder_of_binaries: Path) -> Iterator[str]:
    """Start a server on a free port; yields a URL with ``{}`` for the name of a database. PostgreSQL refuses root."""
    user = "nobody" if os.geteuid() == 0 else None
    # Not pytest's folder: another user could not enter it.
    with tempfile.TemporaryDirectory(prefix="ml-platform-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def call(program: str, *arguments: str) -> None:
            command = [str(folder_of_binaries / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, user=user, cwd=folder, check=True, capture_output=True, timeout=120)

        call("initdb", "--username=tests", "--auth=trust", "--encoding=UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tests@127.0.0.1:{port}/{{}}"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")
