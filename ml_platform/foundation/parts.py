"""What is looked at part by part, so that one part that cannot be read hides no other."""

from collections.abc import Callable
from typing import TypeVar

from ml_platform.foundation.errors import PlatformError

Found = TypeVar("Found")


class Parts:
    """Parts that were read, each by itself, and those that could not be."""

    def __init__(self) -> None:
        #: What is to be said beside what was found, a line each.
        self.notes: list[str] = []
        #: Part to why it cannot be read.
        self.unreadable: dict[str, str] = {}

    def read(self, part: str, look: Callable[[], Found], otherwise: Found) -> Found:
        """What a look finds, or where it raises PlatformError ``otherwise``, with a note."""
        try:
            return look()
        except PlatformError as error:
            self.missed(part, error)
            return otherwise

    def missed(self, part: str, error: PlatformError) -> None:
        """Note a part that cannot be read, and why."""
        self.unreadable[part] = str(error)
        self.notes.append(f"{part} cannot be read: {error}")

    def require_all(self) -> None:
        """Raise PlatformError, naming them, where parts could not be read. For the end, when all else is told."""
        if self.unreadable:
            raise PlatformError(f"not everything could be read: {', '.join(self.unreadable)}; see above")
