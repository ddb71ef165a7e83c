"""The lakeFS adapter under failures of the server: nothing is lost or done twice, errors are one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_platform.datasets.lakefs.api import Unavailable
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.maintenance import collect
from ml_platform.datasets.store import MAIN, AlreadyExists, Conflict, DirtyBranch, NoChanges
from ml_platform.foundation.errors import Corrupt, Refused, StoreError
from ml_platform.foundation.patience import waiting
from ml_platform_tests.datasets import lakefs_servers
from ml_platform_tests.datasets.lakefs_standin import StandIn
from ml_platform_tests.datasets.lakefs_standin.repository import Repository

Action = Callable[[LakeFSStore, Path], object]


def file(folder: Path, text: str) -> Path:
    local = folder / "local"
    local.write_text(text)
    return local


def prepared(store: LakeFSStore, folder: Path) -> None:
    """``work`` with one commit that is merged, ``ready`` with one to merge, ``other`` with one of its own."""
    for branch, path, text in (("work", "a", "1"), ("ready", "b", "2"), ("other", "c", "3")):
        store.create_branch(branch)
        store.commit(branch, {path: file(folder, text)}, "m")
    store.merge("work", MAIN, "published")


def committed(store: LakeFSStore, folder: Path, metadata: dict[str, str] | None = None) -> str:
    """One commit that puts an object and removes another."""
    files = {"c": None, "d": file(folder, "4")}
    return store.commit("other", files, "m", metadata, objects={"d": {"rows": "1"}})


ACTIONS: dict[str, tuple[str, Action]] = {
    "commit": (r"POST .*/branches/other/commits$", lambda store, folder: committed(store, folder, {"run_id": "r"})),
    "commit without a run id": (r"POST .*/branches/other/commits$", committed),
    "commit: put": (r"POST .*/objects$", committed),
    "commit: remove": (r"DELETE .*/objects$", committed),
    "commit: look": (r"GET .*/branches/other/diff$", committed),
    "merge": (r"POST .*/merge/main$", lambda store, _: store.merge("ready", MAIN, "m", {"run_id": "r"})),
    "revert": (r"POST .*/revert$", lambda store, _: store.revert(MAIN, MAIN, parent_number=1)),
    "create branch": (r"POST .*/branches$", lambda store, _: store.create_branch("new", "ready")),
    "delete branch": (r"DELETE .*/branches/work$", lambda store, _: store.delete_branch("work")),
    "tag": (r"POST .*/tags$", lambda store, _: store.tag("v1", "ready")),
    "log": (r"GET .*/commits$", lambda store, _: list(store.log(MAIN))),
    "list": (r"GET .*/objects/ls$", lambda store, _: store.list("other")),
    "stat": (r"GET .*/objects/stat$", lambda store, _: store.stat("other", "c")),
    "open": (r"GET .*/objects$", lambda store, _: store.open("other", "c").read()),
    "diff": (r"GET .*/diff/", lambda store, _: store.diff(MAIN, "ready")),
}
#: Type of the result of each action and what it leaves behind, when nothing fails.
UNDISTURBED: dict[str, tuple[type, dict]] = {}
FAULTS: dict[str, dict] = {
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "500": {"status": 500},
    "503 twice": {"status": 503, "times": 2},
    "500 after it acted": {"kind": "acted", "status": 500},
    "lost": {"kind": "lost"},
    "lost twice": {"kind": "lost", "times": 2},
    "cut": {"kind": "cut"},
    "slow": {"kind": "slow", "seconds": 1.5},
}


def shape(repository: Repository) -> dict:
    """Everything a repository holds, without what differs between two that were made in the same way."""

    def told(commit: str) -> tuple:
        held = repository.commits[commit]
        tree = {path: (entry.size, entry.checksum, entry.metadata) for path, entry in held.tree.items()}
        return (
            held.message.split()[0],
            {k: v for k, v in held.metadata.items() if k == "run_id"},
            tree,
            len(held.parents),
        )

    return {
        "branches": {
            name: (told(branch.commit), {path: entry and entry.checksum for path, entry in branch.staging.items()})
            for name, branch in repository.branches.items()
        },
        "tags": {name: told(commit) for name, commit in repository.tags.items()},
        "commits": len(repository.commits),
    }


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_failing_server_changes_nothing_but_the_time(
    standin: StandIn, tmp_path: Path, action: str, fault: str
) -> None:
    where, act = ACTIONS[action]
    server = lakefs_servers.key(standin, timeout_seconds=0.4 if fault == "slow" else 10)
    if action not in UNDISTURBED:
        with lakefs_servers.repository(server, "local://", tmp_path / "undisturbed") as store:
            prepared(store, tmp_path)
            UNDISTURBED[action] = (type(act(store, tmp_path)), shape(standin.repositories[store.repository]))
    with lakefs_servers.repository(server, "local://", tmp_path / "failing") as store:
        prepared(store, tmp_path)
        ordered = standin.order(where, **FAULTS[fault])
        result = act(store, tmp_path)
        standin.faults.clear()
        assert ordered.struck
        assert UNDISTURBED[action] == (type(result), shape(standin.repositories[store.repository]))


def test_a_merge_whose_answer_is_lost_is_found_below_later_merges(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    store = lakefs_store
    prepared(store, tmp_path)
    held = standin.repositories[store.repository]
    standin.order(r"POST .*/merge/main$", kind="lost", then=lambda: held.merge("other", MAIN, "theirs", {}, ""))
    # The look itself fails at first, too.
    standin.order(r"GET .*/refs/main/commits$", status=503)
    merge = store.merge("ready", MAIN, "mine", {"run_id": "r"})
    messages = [entry.message for entry in store.log(MAIN)]
    assert (messages[0], messages.count("mine"), messages.count("theirs")) == ("theirs", 1, 1)
    assert [info.path for info in store.list(merge)] == ["a", "b"]


def test_retries_end_and_say_what_to_do(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path) -> None:
    ordered = standin.order(r"GET .*/branches$", status=503, times=100, message="store is down")
    with (
        waiting(0.5),
        pytest.raises(
            Unavailable, match=r"branches: lakeFS at http://127.* failed \d+ times.*503 store is down"
        ) as error,
    ):
        lakefs_store.branches()
    assert ordered.struck > 3
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 412, 416, 501])
def test_a_clear_no_is_not_repeated(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path, status: int) -> None:
    prepared(lakefs_store, tmp_path)
    ordered = standin.order(r"POST .*/other/commits$", status=status, times=100, message="no")
    with pytest.raises((StoreError, Refused)) as error:
        committed(lakefs_store, tmp_path)
    assert ordered.struck == 1
    assert "\n" not in str(error.value)
    assert lakefs_store.uncommitted("other") == [], "nothing is left for others to stumble over"


def test_a_hook_of_the_server_refuses_a_merge(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path) -> None:
    prepared(lakefs_store, tmp_path)
    head = lakefs_store.resolve(MAIN)
    reason = "pre-merge hook aborted, run id 'x': verdict schema is missing"
    standin.order(r"POST .*/merge/main$", status=412, message=reason)
    with pytest.raises(Refused, match="verdict schema is missing"):
        lakefs_store.merge("ready", MAIN, "m")
    assert lakefs_store.resolve(MAIN) == head


def test_listings_longer_than_a_page(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path) -> None:
    store = lakefs_store
    held = standin.repositories[store.repository]
    store.create_branch("work")
    entry = held.commits[store.commit("work", {"a": file(tmp_path, "1")}, "m")].tree["a"]
    held.branches["work"].staging.update({f"x/{number:05}": entry for number in range(2500)})
    assert len(store.uncommitted("work")) == 2500
    commit = held.commit("work", "m", {}).id
    assert len(store.list(commit, "x/")) == 2500
    assert len(store.diff(MAIN, "work")) == 2501
    for number in range(1100):
        held.branches[f"b{number:04}"] = held.branches["work"]
        held.tags[f"t{number:04}"] = commit
    assert len(store.branches("b")) == 1100
    assert len(store.tags("t")) == 1100


def test_commits_link_to_their_runs_and_give_their_metadata_back(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    store = LakeFSStore(
        lakefs_store.api, lakefs_store.repository, tmp_path / "cache", dagster_url="https://dagster.example.org/"
    )
    store.create_branch("work")
    commit = store.commit("work", {"a": file(tmp_path, "1")}, "m", {"run_id": "r1", "partition": "2013-01"})
    held = standin.repositories[store.repository].commits[commit].metadata
    assert held["::lakefs::Dagster::url[url:ui]"] == "https://dagster.example.org/runs/r1"
    assert next(store.log("work")).metadata == {"run_id": "r1", "partition": "2013-01"}
    assert store.commit("work", {}, "again", {"run_id": "r1"}) == commit


def test_objects_of_others_are_told_apart(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path) -> None:
    store = lakefs_store
    store.create_branch("work")
    held = standin.repositories[store.repository]
    ours = held.commits[store.commit("work", {"ours": file(tmp_path, "1")}, "m")].tree["ours"]
    foreign = replace(ours, metadata=())
    held.branches["work"].staging |= {"theirs": foreign, "_lakefs_actions/gate.yaml": foreign}
    assert [(info.path, bool(info.sha256)) for info in store.list("work")] == [("ours", True), ("theirs", False)]
    assert [change.path for change in store.uncommitted("work")] == ["theirs"]
    with pytest.raises(Corrupt, match=r"theirs at 'work' has no recorded sha256|theirs at work has no recorded sha256"):
        store.open("work", "theirs")


def test_errors_of_the_protocol_come_through(lakefs_store: LakeFSStore, tmp_path: Path) -> None:
    store = lakefs_store
    prepared(store, tmp_path)
    store.create_branch("clash")
    store.commit("clash", {"a": None}, "m")
    store.commit("work", {"a": file(tmp_path, "9")}, "m")
    lakefs_servers.put_by_another_tool(store, "other", "theirs", "x")
    store.merge("work", MAIN, "m")
    for error, action in (
        (Conflict, lambda: store.merge("clash", MAIN, "m")),
        (DirtyBranch, lambda: store.merge("ready", "other", "m")),
        (NoChanges, lambda: store.merge("work", MAIN, "m")),
        (AlreadyExists, lambda: store.create_branch("work")),
    ):
        with pytest.raises(error):
            action()


def test_a_check_of_everything_finds_what_rots(lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path) -> None:
    prepared(lakefs_store, tmp_path)
    assert lakefs_store.fsck() == []
    for entry in standin.repositories[lakefs_store.repository].tree_of("ready").values():
        Path(entry.address).write_text("9")
    (problem,) = lakefs_store.fsck()
    assert problem.startswith("b at ready: sha256 is ")


def test_collecting_garbage_needs_rules_that_keep_every_commit(
    lakefs_store: LakeFSStore, standin: StandIn, tmp_path: Path
) -> None:
    lakefs_store.create_branch("work")
    (tmp_path / "local").write_text("1")
    commit = lakefs_store.commit("work", {"a": tmp_path / "local"}, "m")
    copy = lakefs_store.local_path(commit, "a")
    assert collect(lakefs_store, 3600) == 0 and copy.exists()
    assert collect(lakefs_store, 0) == 1 and not copy.exists()
    assert lakefs_store.open(commit, "a").read() == b"1", "fetched again"
    standin.repositories[lakefs_store.repository].gc_rules = {"default_retention_days": 28, "branches": []}
    with pytest.raises(StoreError, match="would remove commits"):
        collect(lakefs_store, 0)
    assert copy.exists()


def test_without_a_gateway_a_scan_says_what_to_set(lakefs_store: LakeFSStore) -> None:
    with pytest.raises(StoreError, match="ML_PLATFORM_LAKEFS_S3_ENDPOINT"):
        lakefs_store.scan_parquet(MAIN, "a")
