"""What was made here, of what lies on a branch of the store: other content may have been put there."""

from collections.abc import Mapping
from typing import Protocol

from ml_platform.datasets.store import ObjectInfo


class Made(Protocol):
    """What was made here under some names, as whoever was asked knows it."""

    def named(self, name: str, sha256: str, labels: Mapping[str, str]) -> bool:
        """Whether this content was made here, with all that the store says of it."""
        ...

    def known(self, name: str, info: ObjectInfo, inputs: Mapping[str, str]) -> bool:
        """Whether it was, or an earlier release made it of these inputs."""
        ...
