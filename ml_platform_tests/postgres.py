"""A PostgreSQL server of the tests' own, where its binaries are installed."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa


def binaries() -> Path | None:
    """Folder with ``initdb`` and ``postgres``; None where they are not installed."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Postgres(NamedTuple):
    """A server that runs."""

    #: With ``{}`` for the name of a database.
    url: str
    stop: Callable[[], None]
    start: Callable[[], None]

    def database(self) -> str:
        """Make a database; returns its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self._say(f"CREATE DATABASE {name}")
        return self.url.format(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        self._say(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def _say(self, what: str) -> None:
        admin = sa.create_engine(self.url.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(what)
        admin.dispose()


@contextmanager
def server(folder_of_binaries: Path) -> Iterator[Postgres]:
    """Start a server on a free port. PostgreSQL refuses root."""
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
        running = Postgres(
            f"postgresql://tests@127.0.0.1:{port}/{{}}",
            stop=lambda: call("pg_ctl", "-m", "fast", "stop"),
            start=lambda: call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start"),
        )
        running.start()
        try:
            yield running
        finally:
            call("pg_ctl", "-m", "immediate", "stop")
