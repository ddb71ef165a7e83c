"""What a result was computed with: code commit, dependency lock, Python version."""

import platform
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.foundation.inherited import GIT, inherited
from ml_platform.foundation.project import code_root
from ml_platform.foundation.settings import get_settings

if TYPE_CHECKING:
    from packaging.requirements import Requirement

#: The lock file of a project, in its root.
LOCK = "requirements.lock"
_HASH = "--hash=sha256:"
#: The commit of code that lies in no Git work tree.
OUTSIDE_GIT = "none"


class Provenance(BaseModel):
    """Travels with every reference and every ledger entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Commit of the project's code, or ``none`` outside a Git work tree.
    code_commit: str
    #: Whether tracked files differed from that commit, or untracked code stood beside it.
    dirty: bool
    #: sha256 of the lock file, or of the installed versions where there is none.
    lock_sha256: str
    python: str


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, env=inherited(*GIT), capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def platform_code(root: Path = Path(__file__).parent.parent) -> str:
    """Hash of the platform's modules below ``root`` as they are now, 16 hexadecimal digits; the example left out."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    return sha256_bytes(
        canonical_json({name: sha256_file(path) for name, path in files.items() if not name.startswith("defs/")})
    )[:16]


def _but_local(root: Path) -> list[str]:
    """Everything in the work tree but the folder of what runs write: not everybody's Git ignores that."""
    local = get_settings().local.resolve()
    top = Path(_git(root, "rev-parse", "--show-toplevel") or root).resolve()
    return ["--", ":/", f":(top,exclude){local.relative_to(top).as_posix()}"] if top in local.parents else []


def _installed() -> str:
    from importlib.metadata import distributions

    return canonical_json(sorted({f"{item.name}=={item.version}" for item in distributions()}))


def pinned(lock: str) -> "Iterator[tuple[Requirement, tuple[str, ...]]]":
    """What the text of a lock file pins, each with the sha256 of the files that may be installed for it."""
    from packaging.requirements import InvalidRequirement, Requirement

    found: Requirement | None = None
    hashes: list[str] = []
    for line in lock.splitlines():
        text = line.partition(" #")[0].strip().removesuffix("\\").strip()
        if text.startswith(_HASH):
            hashes.append(text.removeprefix(_HASH))
            continue
        try:
            pin = Requirement(text)
        except InvalidRequirement:
            continue  # a comment, an option
        if found is not None:
            yield found, tuple(hashes)
        found, hashes = pin, []
    if found is not None:
        yield found, tuple(hashes)


@lru_cache(maxsize=4)
def current(root: Path | None = None) -> Provenance:
    """The provenance of this process; read once, since code loaded now is what runs later."""
    root = root or code_root()
    commit = _git(root, "rev-parse", "HEAD")
    lock = root / LOCK
    return Provenance(
        code_commit=commit or OUTSIDE_GIT,
        dirty=bool(commit and _git(root, "status", "--porcelain", *_but_local(root))),
        lock_sha256=sha256_file(lock) if lock.exists() else sha256_bytes(_installed()),
        python=platform.python_version(),
    )


def without_commit(root: Path | None = None) -> str:
    """Why the code has no commit, with the way out; empty where it has one."""
    root = root or code_root()
    if current(root).code_commit != OUTSIDE_GIT:
        return ""
    if _git(root, "rev-parse", "--is-inside-work-tree") == "true":
        return "the project has none yet; run git add -A, git commit"
    return "the project is outside a Git work tree; run git init, git add -A, git commit"


@dataclass(frozen=True)
class Run:
    """Who asks for a side effect: side effects are idempotent by run id and content hash."""

    id: str
    provenance: Provenance = field(default_factory=current)

    @classmethod
    def new(cls) -> "Run":
        """A run outside an orchestrator, e.g. one call of the command line."""
        return cls(id=str(uuid.uuid4()))
