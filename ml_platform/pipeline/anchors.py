"""Where the ledger's head and length are noted outside the ledger: commits on ``main``, registered versions."""

from collections.abc import Callable, Collection, Iterator

from ml_platform.datasets.store import MAIN, VersionedStore
from ml_platform.ledger.chain import Anchor
from ml_platform.ledger.verified import AnchorSource
from ml_platform.registry.registry import LEDGER_TAG, Registry

_PREFIX = LEDGER_TAG.removesuffix("ledger_head")


def of_store(store: Callable[[], VersionedStore]) -> AnchorSource:
    """Anchors of what was merged into ``main`` or reverted there, newest first."""

    def anchors(owners: Collection[str]) -> Iterator[Anchor]:
        for commit in store().log(MAIN):
            if found := Anchor.of(commit.metadata, f"commit {commit.id[:12]}"):
                yield found

    return anchors


def of_registry(registry: Callable[[], Registry | None]) -> AnchorSource:
    """Anchors of registered versions of these models, newest first; none while there is no registry."""

    def anchors(owners: Collection[str]) -> Iterator[Anchor]:
        found_at = registry()
        if found_at is None:
            return
        for model in sorted(owners):
            for version, tags in found_at.tags(model):
                if found := Anchor.of(tags, f"{model} version {version}", _PREFIX):
                    yield found

    return anchors


def tags(anchor: Anchor) -> dict[str, str]:
    """What a registered version notes beside the head."""
    return {f"{_PREFIX}{name}": value for name, value in anchor.facts.items() if name != "ledger_head"}
