"""Batches from the files of a folder of this machine."""

import glob
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.names import meant, nearest, some
from ml_platform.foundation.settings import default_home
from ml_platform.sources.columns import expanded
from ml_platform.sources.files import ENDINGS, Files, FilesRule, by_time, is_table, without_ending
from ml_platform.sources.source_rule import Found


class NoFolder(PlatformError):
    """There is no such folder; ``near`` is one beside it that was probably meant."""

    def __init__(self, message: str, near: str) -> None:
        super().__init__(message)
        self.near = near


class FolderSource(FilesRule):
    """A folder of this machine: ``{kind: folder, path: incoming, pattern: "flights_*.csv", by: time}``."""

    kind: Literal["folder"]
    #: Folder, absolute or below the project's root; ``$NAME`` stands for an environment variable.
    path: str = Field(min_length=1)
    #: Names of the files below it, with ``*``, ``?`` and ``**``.
    pattern: str = "*"

    @classmethod
    def find(cls, where: str, root: Path, url_env: str = "") -> Found | None:
        """A file or a folder, absolute or below the working folder."""
        where = where.removeprefix("file://") if "*" not in where else where
        if url_env or "://" in where:
            return None
        # Not resolved: a link that lies in the project is named as it is there.
        path = Path(os.path.abspath(Path(where).expanduser()))
        if not path.exists():
            raise PlatformError(f"{where}: there is no such file or folder{_meant(path)}")
        folder, pattern = (path, _pattern(path)) if path.is_dir() else (path.parent, glob.escape(path.name))
        rule = cls.model_validate({"kind": "folder", "path": str(folder), "pattern": pattern, "by": "time"})
        declared = {"kind": "folder", "path": _below(folder, root), "pattern": pattern}
        said = f"{declared['path']}/{pattern}" if path.is_dir() else path.name
        return Found(rule, without_ending(path.name), declared, said, by_time)

    def files(self) -> Files:
        """The files of the folder."""
        return _files(self)

    @property
    def nearby(self) -> str:
        """A file of the folder."""
        return f"file {self.pattern} in {self.path}"


def _meant(path: Path) -> str:
    """What of the folder, or of the one above that is there, was probably meant; else the tables that are there."""
    while not path.parent.is_dir():
        path = path.parent
    beside = [one for one in sorted(path.parent.iterdir()) if not one.name.startswith((".", "_"))]
    tables = [one for one in beside if is_table(one.name)]
    # Tables come first, then whatever else is there: files of other kinds are told with what to do about them.
    for there in (tables, beside):
        names = {one.name: one for one in there}
        stems = {without_ending(one.name): one for one in there}
        if near := names.get(nearest(path.name, names)) or stems.get(nearest(without_ending(path.name), stems)):
            return f"; did you mean {os.path.relpath(near)!r}?"
    listed = [os.path.relpath(one) for one in tables]
    return f"; there is {some(listed)}" if listed else ""


def _pattern(folder: Path) -> str:
    """Names of the tables in a folder. Raises PlatformError where they are of several kinds."""
    tables = [one.name for one in folder.iterdir() if not one.name.startswith((".", "_"))]
    endings = sorted({ending for ending in ENDINGS for one in tables if one.endswith(ending)})
    if len(endings) > 1:
        raise PlatformError(
            f"{folder}: files of several kinds ({', '.join(endings)}); give one kind a folder of its own"
        )
    return f"*{endings[0]}" if endings else "*"


def _below(folder: Path, root: Path) -> str:
    """A folder as it is declared: below the project where it is there, by whatever links one gets to it."""
    known = root.resolve()
    for start in (folder, folder.resolve()):
        for above in (start, *start.parents):
            if above.resolve() == known:
                return str(start.relative_to(above))
    return str(folder)


def _files(rule: FolderSource) -> Files:
    """The files of a folder of this machine. Raises PlatformError, when asked, where there is none."""
    root = Path(expanded(rule.path, "source.path"))
    root = root if root.is_absolute() else default_home() / root

    def names() -> list[str]:
        if not root.is_dir():
            beside = [one.name for one in root.parent.iterdir() if one.is_dir()] if root.parent.is_dir() else []
            raise NoFolder(
                f"source: {root} is no folder; create it or correct source.path{meant(root.name, beside)}",
                nearest(root.name, beside),
            )
        found = (path for path in root.glob(rule.pattern) if path.is_file())
        return sorted(name for path in found if is_table(name := path.relative_to(root).as_posix()))

    def fingerprint(name: str) -> str:
        held = (root / name).stat()
        return _hashed(root / name, held.st_size, held.st_mtime_ns)

    return Files(str(root), names, fingerprint, lambda name: (root / name).open("rb"))


@lru_cache(maxsize=100_000)
def _hashed(path: Path, size: int, changed: int) -> str:
    """sha256 of a file, computed once as long as it is not touched."""
    return sha256_file(path)
