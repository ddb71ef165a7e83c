"""Installations that older code made: packed, unpacked anywhere, and moved.

In a packed installation every absolute path to a part of itself begins with :data:`PLACE`. Left out are Dagster's own
storage (runs, events, logs: no step reads them), the supervisor's state and logs, locks and compiled code.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ml_platform_tests.moving import left_behind, moved
from ml_platform_tests.several import several

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
#: Where a packed installation says that it lies; no real path begins with it.
PLACE = "/installed-elsewhere"
#: What is left out of a packed installation, by name or by folder below the project.
LEFT_OUT = ("__pycache__", ".locks")


class Installation:
    """A project folder with everything that it ever ran: code under Git, ``incoming``, ``.local``."""

    def __init__(self, root: Path, ports: str) -> None:
        self.root, self.ports = root, ports

    @property
    def local(self) -> Path:
        """Store, ledger, MLflow, references, records, packages."""
        return self.root / ".local"

    @property
    def incoming(self) -> Path:
        """Folder of the source."""
        return self.root / "incoming"

    @property
    def environment(self) -> dict[str, str]:
        """Settings of the project's processes."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ML_PLATFORM_", "GROCERY_")) and name != "PYTHONPATH"
        }
        return inherited | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.root),
            "ML_PLATFORM_LOCAL": str(self.local),
            "ML_PLATFORM_THREADS": "1",
            "ML_PLATFORM_PORTS": self.ports,
            "ML_PLATFORM_ACTOR": "installer",
            "COLUMNS": "160",
        }

    def ml(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """``ml-platform`` in the project."""
        return self._run([str(BIN / "ml-platform"), *arguments], environment)

    def several(self, *commands: Sequence[str], **environment: str) -> "subprocess.CompletedProcess[str]":
        """Several commands in one process."""
        return self._run(several(*commands), environment)

    def _run(self, command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=280,
        )

    def git(self, *arguments: str) -> str:
        """``git`` in the project."""
        who = ["-c", "user.name=shop", "-c", "user.email=shop@localhost", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.root), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _nowhere(root: Path, old: str) -> None:
    if wrong := left_behind(root, old):
        names = ", ".join(str(path.relative_to(root)) for path in wrong)
        raise RuntimeError(f"{names}: still name {old}; rewrite them in moved()")


def pack(installation: Installation, archive: Path) -> None:
    """Write an installation on which nothing runs to ``archive``, as if it lay at :data:`PLACE`.

    Raises RuntimeError where something would still name its real place.
    """
    for name in ("dagster", "run.lock"):
        path = installation.local / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    rollout = installation.local / "rollout"
    for path in rollout.iterdir():
        if path.name != "records":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in [path for path in installation.root.rglob("*") if path.name in LEFT_OUT]:
        shutil.rmtree(path)
    moved(installation.root, str(installation.root), PLACE)
    _nowhere(installation.root, str(installation.root))

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(archive, "w:xz", preset=9) as tar:
        tar.add(installation.root, arcname=".", filter=anonymous)


def unpack(archive: Path, root: Path, ports: str) -> Installation:
    """An installation that was packed by :func:`pack`, at ``root``, as if it were restored from a backup there."""
    with tarfile.open(archive) as tar:
        # Files of the store are read-only, and stay so.
        tar.extractall(root, filter="tar")
    return Installation(root, ports)
