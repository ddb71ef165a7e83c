"""A Git repository with a copy of this code, to replay from."""

import subprocess
from pathlib import Path

from ml_platform.foundation.provenance import current
from ml_platform_tests.conftest import copy_of_the_project


class Repository:
    """A Git repository with a copy of this code, as the project that trains."""

    def __init__(self, root: Path) -> None:
        self.root = root
        copy_of_the_project(root)
        (root / "requirements.lock").write_text("polars==2.1\n")
        (root / ".gitignore").write_text("__pycache__/\n")
        self.git("init", "--quiet")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        done = subprocess.run(
            ["git", "-C", str(self.root), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        current.cache_clear()
        return self.git("rev-parse", "HEAD")

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.root / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        current.cache_clear()
