"""Git's object files, compared with their own checksums before libgit2 reads them.

With some flipped bits in an object's file libgit2's reading never ends, with some in the index of a pack it crashes.
"""

import hashlib
import zlib
from pathlib import Path

_SHA1 = 20


class ObjectFiles:
    """The files below ``objects`` of a Git repository. What raises GitError names the object or file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._graph = folder / "info" / "commit-graph"
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
        if not unpacking.eof or unpacking.unused_data or _sha1(content).hex() != name:
            raise pygit2.GitError(f"object {name} is not what its name says")
        return content

    def check(self, name: str) -> None:
        """Compare an object with its name, once, or all that have such a name; raises GitError where one differs."""
        if len(name) < 2 * _SHA1:
            for path in self.folder.glob(f"{name[:2]}/{name[2:]}*"):
                self.check(path.parent.name + path.name)
        elif name not in self._whole and self.content(name) is not None:
            self._whole.add(name)

    def packs(self) -> list[str]:
        """What is wrong with packs, indexes and commit graphs, which only ``git gc`` makes; they hold no data.

        libgit2 takes the parents of commits from a commit graph without comparing it with its checksum.
        """
        found = []
        for path in sorted([*self.folder.glob("pack/*"), *self.folder.glob("info/commit-graphs/*"), self._graph]):
            if path.suffix in (".pack", ".idx", ".graph") or path.name in ("multi-pack-index", "commit-graph"):
                try:
                    content = path.read_bytes()
                except FileNotFoundError:
                    # Another `git gc` has put what was in it into a new one.
                    continue
                if _sha1(content[:-_SHA1]) != content[-_SHA1:]:
                    found.append(f"{path.name} does not have its checksum")
        return found

    def damaged(self) -> list[str]:
        """What is wrong with each file; all are read anew."""
        import pygit2

        found = self.packs()
        self._whole.clear()
        for path in sorted(self.folder.glob("[0-9a-f][0-9a-f]/*")):
            try:
                self.check(path.parent.name + path.name)
            except pygit2.GitError as error:
                found.append(str(error))
        return found


def _sha1(content: bytes) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()
