"""What is published: what ``main`` holds of a dataset, and the ledger says that it was published.

Whoever may write to the store can put a content there by a commit that looks like a publication. What reads published
content (histories, features, comparisons of batches, labels, scores) asks here.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from ml_platform.datasets import batches
from ml_platform.datasets.history import facts_of, publications
from ml_platform.datasets.quarantine import COUNT, NEW_COLUMNS, counted
from ml_platform.datasets.store import MAIN
from ml_platform.datasets.unasked import Unasked, unasked
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import PUBLICATION
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from ml_platform.datasets.history import Known, Publication
    from ml_platform.datasets.store import ObjectInfo

_log = logging.getLogger(__name__)


def name_of(dataset: str, partition: str) -> str:
    """What the ledger calls a published partition."""
    return f"{dataset}/dataset/{partition}"


def known(workspace: Workspace) -> "Known":
    """Whether a content ever was published, as the ledger says now: asked once by those who look at many."""
    entries = workspace.ledger.published()

    @cache
    def steps(name: str) -> tuple[frozenset[str], frozenset[str | None]]:
        """The contents of a partition, and what came after it was taken out; None where nothing did."""
        order = [one.sha256 for one in entries.get(name, ())]
        return frozenset(order), frozenset(after for one, after in pairwise([*order, None]) if one == "")

    def was(dataset: str, partition: str, sha256: str, then: str | None = None, /) -> bool:
        contents, after_out = steps(name_of(dataset, partition))
        return sha256 in contents if sha256 else then in after_out

    return was


def published_batches(workspace: Workspace, dataset: str) -> "dict[str, ObjectInfo]":
    """Partition to object, for every batch of a dataset on ``main`` that the ledger says was published.

    How many rows it has, what was set aside and which columns were new is as the ledger says: beside equal content the
    store may say anything.
    """
    # Before the ledger is asked: what is published meanwhile it knows, too.
    held = batches.published(workspace.store, dataset)
    was, labels = known(workspace), _labels(workspace)
    return {
        partition: replace(info, metadata={**info.metadata, **labels(dataset, partition, info.sha256)})
        for partition, info in held.items()
        if was(dataset, partition, info.sha256)
    }


def published_before(workspace: Workspace, dataset: str, partition: str, sha256: str) -> list[str]:
    """Contents of a partition that were published before ``sha256`` was, or would be; oldest first, each once in a row.

    By the order of the ledger: the history of ``main`` can be written anew. What was withdrawn is meant too: a
    correction answers to it.
    """
    before: list[str] = []
    for one in workspace.ledger.published().get(name_of(dataset, partition), ()):
        if one.sha256 == sha256:
            break
        if one.sha256 and one.sha256 not in before[-1:]:
            before.append(one.sha256)
    return before


def labels_of(
    workspace: Workspace, dataset: str, partition: str, info: "ObjectInfo", commit: str
) -> dict[str, dict[str, str]]:
    """What the entry of a publication says of its object besides content and rows; nothing where there is nothing.

    What was set aside is counted at the commit; which columns were new is as it was said when this content was first
    published: beside equal content the store may say anything.
    """
    said = _labels(workspace)(dataset, partition, info.sha256) or info.metadata
    found = {NEW_COLUMNS: said[NEW_COLUMNS]} if NEW_COLUMNS in said else {}
    if aside := counted(workspace.store, commit, dataset, partition):
        found[COUNT] = str(aside)
    return {"labels": found} if found else {}


def publication_log(workspace: Workspace, dataset: str, partition: str | None = None) -> "Iterator[Publication]":
    """Publications and rollbacks of a dataset, or of one partition, newest first, with the numbers of the ledger.

    Of a content of which the ledger tells none, as an early release wrote it, those of the store.
    """
    labels = _labels(workspace)
    for one in publications(workspace.store, dataset, partition, known=known(workspace)):
        told = labels(dataset, one.partition, one.sha256)
        yield one._replace(rows=int(told["rows"]), quarantined=int(told.get(COUNT, 0))) if "rows" in told else one


def mislabelled(workspace: Workspace, dataset: str | None = None) -> list[str]:
    """Published batches of which the store says otherwise than the ledger, a line each."""
    found, labels = list[str](), _labels(workspace)
    for path, info in ((one.path, one) for one in workspace.store.list(MAIN)):
        name, partition = batches.partition_of(path) or ("", "")
        if not partition or dataset not in (None, name):
            continue
        told = labels(name, partition, info.sha256)
        found += [
            f"{path} on {MAIN}: its {key} {value!r} became {info.metadata.get(key, '')!r} without the platform, which "
            f"reads {value!r}; to put it right, take it out and publish it again (ml-platform data rollback {name} "
            f"{partition} --withdraw --reason TEXT, then --to {info.sha256[:12]} --reason TEXT)"
            for key, value in told.items()
            if info.metadata.get(key, "") != value
        ]
    return found


def _labels(workspace: Workspace) -> Callable[[str, str, str], Mapping[str, str]]:
    """What the newest entry that published a content says of its object; without one that says anything, nothing.

    As the ledger says now: asked once by those who look at many.
    """
    entries = workspace.ledger.published()

    @cache
    def newest(name: str) -> Mapping[str, Mapping[str, str]]:
        return {one.sha256: one.labels for one in entries.get(name, ()) if one.labels}

    return lambda dataset, partition, sha256: newest(name_of(dataset, partition)).get(sha256, {})


def strange(workspace: Workspace, dataset: str | None = None) -> list[Unasked]:
    """What ``main`` holds or lacks without the platform, of one dataset or of all."""
    return unasked(workspace.store, dataset, known=known(workspace))


def elsewhere(workspace: Workspace, dataset: str) -> str:
    """That another store than this one holds what was published of a dataset; empty where this one knows of it.

    As where a shell lacks the setting that names the store: everything would be ingested and trained again beside it.
    """
    if batches.published(workspace.store, dataset):
        return ""
    accepted, prefix = workspace.ledger.chain().accepted(), name_of(dataset, "")
    told = [
        name
        for name, contents in workspace.ledger.published().items()
        if name.startswith(prefix) and contents[-1].sha256 and contents[-1].sequence > accepted
    ]
    if not told or any(facts["dataset"] == dataset for facts in map(facts_of, workspace.store.log(MAIN)) if facts):
        return ""
    return (
        f"{dataset}: the ledger says that {len(told)} partitions are published, and the store "
        f"{workspace.store.url(MAIN)} never held one: set the store that they are in (LAKEFS_ENDPOINT, "
        "ML_PLATFORM_REPOSITORY, ML_PLATFORM_ADAPTERS), or restore it from a backup; where it is lost, ml-platform "
        "ledger continue --by NAME --reason TEXT accepts that"
    )


def require_asked(workspace: Workspace, dataset: str, *, ingesting: bool = False) -> None:
    """Raise PlatformError where ``main`` holds something of a dataset that was not published, or lacks what was.

    What a commit calls published and the ledger does not know is told in the log alone where a run is ``ingesting``:
    after a ledger was restored from a backup, what it lacks is ingested and published again, and nothing else reads it.
    """
    store, head = workspace.store, workspace.store.resolve(MAIN)
    # A state of ``main`` that was found sound stays so: the ledger only grows.
    sound: set[tuple[str, str]] = workspace.shared("sound states of main", set)
    if (head, dataset) in sound:
        return
    if said := elsewhere(workspace, dataset):
        raise PlatformError(said)
    found = unasked(store, dataset, head, known=known(workspace))
    if not found:
        sound.add((head, dataset))
    refused = [one for one in found if not (ingesting and one.claimed)]
    for one in found if not refused else ():
        _log.warning("%s; it is not used: %s", one.what, one.way_out)
    if refused:
        more = f" (and {len(found) - 1} more, see ml-platform data fsck)" if len(found) > 1 else ""
        raise PlatformError(f"{refused[0].what}; {refused[0].way_out}{more}")


def adopt(workspace: Workspace, other: Workspace, dataset: str, run: Run) -> None:
    """Let the ledger of a workspace know what that of ``other`` says is published of a dataset, both on one store."""
    said: Iterable[tuple[str, str, dict[str, object]]] = [
        (info.sha256, name_of(dataset, partition), {"rows": int(info.metadata["rows"])})
        for partition, info in published_batches(other, dataset).items()
    ]
    workspace.ledger.decide_each(PUBLICATION, said, run_id=run.id, provenance=run.provenance)
