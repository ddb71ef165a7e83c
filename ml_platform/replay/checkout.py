"""The code of an earlier commit, checked out, and how a process runs on it."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.inherited import GIT, inherited
from ml_platform.foundation.project import code_root
from ml_platform.foundation.provenance import OUTSIDE_GIT


def variables(code: Path, local: Path) -> dict[str, str]:
    """Environment variables of a process that runs on checked-out code and writes below ``local``."""
    paths = [str(path) for path in (code, code / "src") if path.is_dir()]
    return inherited() | {
        "PYTHONPATH": os.pathsep.join(paths),
        "ML_PLATFORM_LOCAL": str(local),
        "DAGSTER_HOME": str(code),
        "OMP_WAIT_POLICY": "PASSIVE",
    }


@contextmanager
def checked_out(commit: str, folder: Path, what: str, way_out: str) -> Generator[Path]:
    """The project's root in a work tree of a commit, removed again after the block.

    Raises PlatformError where there is no such commit: ``what`` needs it, and ``way_out`` says what to do where the
    code was in none.
    """
    root = code_root()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, env=inherited(*GIT), capture_output=True, text=True)
        if done.returncode:
            raise PlatformError(
                f"{what}: commit {commit[:12]} cannot be checked out in {root} "
                f"({done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'git failed'}); fetch it first"
            )
        return done.stdout.strip()

    if commit == OUTSIDE_GIT:
        raise PlatformError(f"{what}: it was trained outside a Git work tree, so its code is not known; {way_out}")
    below = root.relative_to(Path(git("rev-parse", "--show-toplevel")).resolve())
    git("worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        yield folder / below
    finally:
        git("worktree", "remove", "--force", str(folder))
