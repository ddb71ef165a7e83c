"""Git's loose objects, read and compared with their names before libgit2 reads them.

With some flipped bits libgit2's own reading of such a file never ends.
"""

import hashlib
import zlib
from pathlib import Path


class LooseObjects:
    """The files below ``objects`` of a Git repository that hold one object each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Objects whose bytes were found to be those that their name says.
        self._whole: set[str] = set()

    def content(self, name: str) -> bytes | None:
        """Header and content of an object; ``None`` where it has no file. Raises GitError for another content."""
        import pygit2

        try:
            with open(f"{self.folder}/{name[:2]}/{name[2:]}", "rb", buffering=0) as stream:
                packed = stream.read()
        except FileNotFoundError:
            return None
        unpacking = zlib.decompressobj()
        try:
            content = unpacking.decompress(packed)
        except zlib.error as error:
            raise pygit2.GitError(f"object {name}: {error}") from error
        if (
            not unpacking.eof
            or unpacking.unused_data
            or hashlib.sha1(content, usedforsecurity=False).hexdigest() != name
        ):
            raise pygit2.GitError(f"object {name} is not what its name says")
        return content

    def check(self, name: str) -> None:
        """Compare an object with its name, once, or all that have such a name; raises GitError where one differs."""
        if len(name) < 40:
            for path in self.folder.glob(f"{name[:2]}/{name[2:]}*"):
                self.check(path.parent.name + path.name)
        elif name not in self._whole and self.content(name) is not None:
            self._whole.add(name)

    def damaged(self) -> list[str]:
        """What is wrong with each object that cannot be read; every file is read anew."""
        import pygit2

        found = []
        self._whole.clear()
        for path in sorted(self.folder.glob("[0-9a-f][0-9a-f]/*")):
            try:
                self.check(path.parent.name + path.name)
            except pygit2.GitError as error:
                found.append(str(error))
        return found
