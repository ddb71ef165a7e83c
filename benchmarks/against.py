"""Another checkout of this project to measure against, with an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
#: Checkouts of revisions are kept here, since each takes minutes and a gigabyte to install.
KEPT = ROOT / ".local" / "against"


class Checkout(NamedTuple):
    """A checkout that is installed."""

    #: What the tables call it.
    name: str
    root: Path

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.root / ".venv" / "bin" / "python"

    def environment(self, **more: str) -> dict[str, str]:
        """Variables for its commands: nothing of the environment that asks for them."""
        ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        path = f"{self.python.parent}{os.pathsep}{ours.get('PATH', '')}"
        return {**ours, "PATH": path, "DAGSTER_HOME": str(self.root), "PYTHONWARNINGS": "ignore", **more}


def here() -> Checkout:
    """This checkout."""
    return Checkout("this project", ROOT)


def against(named: str) -> Checkout:
    """The checkout at a path, or one of a revision, which is made and installed where it is not there yet."""
    if Path(named).is_dir():
        found = Checkout(named, Path(named).resolve())
        if not found.python.exists():
            sys.exit(f"{named} has no environment; run make install there")
        return found
    commit = _git("rev-parse", "--verify", f"{named}^{{commit}}")
    found = Checkout(named, KEPT / commit[:12])
    if not found.root.exists():
        _git("worktree", "add", "--detach", str(found.root), commit)
    if not found.python.exists():
        print(f"installing {found.root}", file=sys.stderr)
        subprocess.run(["make", "install"], cwd=found.root, env=_plain(), stdout=sys.stderr, check=True)
    return found


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "DAGSTER_HOME")}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()
