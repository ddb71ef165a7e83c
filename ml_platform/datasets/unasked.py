"""What ``main`` holds although the platform did not publish it, and what it lacks although nobody took it back.

The platform changes ``main`` by merges whose metadata say what they published. A server lets other tools change it too:
by a merge of a branch without the hook, a revert, a cherry-pick, a reset; and whoever may write to the store can let a
commit look like one of ours. The newest word of the platform on each partition, which is one that is known elsewhere
too, is compared with what is there, so it does not matter how something came in.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ml_platform.datasets.batches import batch_path, partition_of
from ml_platform.datasets.derived import sha256_at
from ml_platform.datasets.history import Known, facts_of
from ml_platform.datasets.quarantine import count_of, quarantine_path
from ml_platform.datasets.store import MAIN, Commit, NotFound, ObjectInfo, VersionedStore

#: How many commits are searched for the one that changed something.
SEARCHED = 200


class Unasked(NamedTuple):
    """One object of ``main`` that is not what was published last."""

    path: str
    #: Whose batch lies at the path, and of which partition; both empty where no batch does.
    dataset: str
    partition: str
    #: What ``main`` holds: None where nothing, empty where an object without a sha256 of ours.
    sha256: str | None
    #: What was published there last; empty where nothing.
    published: str
    #: Commit that changed it, with its message; empty where that is older than what the log was searched for.
    commit: str
    message: str
    #: Whether a commit says that the platform did it, and the ledger knows nothing of that.
    claimed: bool = False

    @property
    def what(self) -> str:
        """What is wrong, for people."""
        held = f"content {self.sha256[:12]}" if self.sha256 else "an object of another tool"
        if self.sha256 is None:
            found = f"{self.published[:12]} was taken out"
        elif self.published:
            found = f"{held} took the place of {self.published[:12]}"
        else:
            found = f"{held} came in"
        said = (self.message.splitlines() or [""])[0][:80]
        by = f" by commit {self.commit[:12]} ({said})" if self.commit else ""
        who = "without an entry in the ledger, though a commit says it was published" if self.claimed else ""
        return f"{self.path} on {MAIN}: {found}{by} {who or 'without the platform'}"

    @property
    def way_out(self) -> str:
        """What to do about it."""
        if not self.partition:
            return "remove it on a branch and merge that"
        end = "--reason TEXT" if self.published else "--withdraw --reason TEXT"
        out = f"ml-platform data rollback {self.dataset} {self.partition} {end}"
        if not self.claimed:
            return out
        if self.sha256 is None:
            return f"{out} brings it back, with --withdraw it stays out"
        return f"ingest and publish it again (ml-platform run --from {self.partition} --to {self.partition}), or {out}"


def unasked(store: VersionedStore, dataset: str | None = None, head: str = "", *, known: Known) -> list[Unasked]:
    """What differs from the newest publication or rollback of its partition, by path; of one dataset, or of all.

    ``head``: a commit of ``main``, by default its newest. A commit whose word is not ``known`` says nothing.
    """
    head = head or store.resolve(MAIN)
    held = {info.path: info for info in store.list(head)}
    wanted, claims = _published(store, head, held, known)
    found = []
    for path in sorted(held.keys() | wanted.keys()):
        info, sha256 = held.get(path), wanted.get(path, "")
        if (info.sha256 if info else None) == (sha256 or None):
            continue
        name, partition = partition_of(path) or ("", "")
        if dataset in (None, name):
            changed = _changed(store, head, path)
            by, message = (changed.id, changed.message) if changed else ("", "")
            batch = held.get(batch_path(name, partition)) if partition else None
            claimed = claims.get((name, partition)) == (batch.sha256 if batch else "")
            found.append(Unasked(path, name, partition, info and info.sha256, sha256, by, message, claimed))
    return found


def _published(
    store: VersionedStore, head: str, held: Mapping[str, ObjectInfo], known: Known
) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Path to the content that the platform put there last, empty where it took it out; and by dataset and partition
    what a later commit says of that, which is not known."""
    wanted: dict[str, str] = {}
    claims: dict[tuple[str, str], str] = {}
    for commit in store.log(head):
        facts = facts_of(commit)
        if facts is None:
            continue
        about = facts["dataset"], facts["partition"]
        aside = quarantine_path(*about)
        if (path := batch_path(*about)) in wanted:
            if aside in wanted and facts["sha256"] == wanted[path]:
                # By the first commit with this content: it names what was set aside, whatever a later one put there.
                wanted[aside] = sha256_at(store, commit.id, aside) or ""
            continue
        if not known(*about, facts["sha256"]):
            claims.setdefault(about, facts["sha256"])
            continue
        wanted[path] = facts["sha256"]
        # Only a batch that says so has one: a server is not asked for each of the others.
        if facts["sha256"] and (path not in held or count_of(held[path])):
            wanted[aside] = sha256_at(store, commit.id, aside) or ""
    return wanted, claims


def _changed(store: VersionedStore, head: str, path: str) -> Commit | None:
    """The commit that brought a path into its present state, among the newest ones along the first parents."""
    ref, held = head, _stat(store, head, path)
    for _ in range(SEARCHED):
        (commit,) = store.log(ref, limit=1)
        if not commit.parents or _stat(store, commit.parents[0], path) != held:
            return commit
        ref = commit.parents[0]
    return None


def _stat(store: VersionedStore, ref: str, path: str) -> ObjectInfo | None:
    try:
        return store.stat(ref, path)
    except NotFound:
        return None
