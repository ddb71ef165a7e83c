"""Where the ledger's head and length are noted outside the ledger: commits on ``main``, registered versions."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator

from ml_platform.datasets.store import MAIN, VersionedStore
from ml_platform.foundation.errors import PlatformError
from ml_platform.ledger.chain import Anchor
from ml_platform.ledger.kinds import PROMOTION
from ml_platform.ledger.ledger import Ledger
from ml_platform.ledger.verified import AnchorSource
from ml_platform.registry.registry import CHAMPION, DECIDED_TAG, LEDGER_TAG, SHA_TAG, Registry

_log = logging.getLogger(__name__)
_PREFIX, _DECIDED = (tag.removesuffix("ledger_head") for tag in (LEDGER_TAG, DECIDED_TAG))


def of_store(store: Callable[[], VersionedStore]) -> AnchorSource:
    """Anchors of what was merged into ``main``, newest first."""

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
                place = f"{model} version {version}"
                for prefix in (_DECIDED, _PREFIX):
                    if found := Anchor.of(tags, f"{place}{' (its last decision)' * (prefix == _DECIDED)}", prefix):
                        yield found
                if SHA_TAG in tags and LEDGER_TAG not in tags:
                    # Every version of ours has one: it was taken away.
                    yield Anchor.taken_away(place)

    return anchors


def note_decision(ledger: Ledger, registry: Registry, model: str, version: int) -> None:
    """Let a version note how far the ledger was after the last decision on it: a promotion, a person's word."""
    anchor = ledger.anchor()
    registry.note(model, version, {f"{_DECIDED}{name}": value for name, value in anchor.facts.items()})


def unheard(ledger: Ledger, registry: Registry, models: Iterable[str]) -> Iterator[str]:
    """Models whose champion in the registry is not what the ledger promoted last, a line each."""
    for model in models:
        try:
            champion = registry.champion(model)
        except PlatformError as error:
            _log.warning("ledger: not compared with the champion of %s: %s", model, error)
            continue
        entries = ledger.entries(subject_name=f"{model}/champion", kind=PROMOTION)
        last = int(entries[-1].body["version"]) if entries else None
        named = champion.version if champion is not None else None
        if last is not None and named != last:
            has = f"version {named} is" if named is not None else "no version is"
            yield (
                f"{model}: {has} {CHAMPION} in the registry, and the ledger promoted version {last} last: the alias "
                "was moved or deleted by hand, or a promotion is still to be told (ml-platform run puts it right)"
            )
        elif last is None and named is not None:
            yield (
                f"{model} version {named} is {CHAMPION} in the registry, and the ledger has no promotion of it: the "
                "alias was moved by hand, entries are gone, or it is still to be told (ml-platform run does)"
            )


def tags(anchor: Anchor) -> dict[str, str]:
    """What a registered version notes beside the head."""
    return {f"{_PREFIX}{name}": value for name, value in anchor.facts.items() if name != "ledger_head"}
