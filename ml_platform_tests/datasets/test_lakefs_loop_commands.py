"""The whole loop on lakeFS by the commands that people type, in a project of their own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_platform.datasets.factory import open_store
from ml_platform.datasets.lakefs.store import LakeFSStore
from ml_platform.datasets.store import MAIN
from ml_platform.foundation.settings import Settings
from ml_platform_tests.cli.conftest import Invoke, calling
from ml_platform_tests.components.conftest import shop_template
from ml_platform_tests.components.shop import APRIL, DATASET, MARCH, MODEL, MONTHS, Shop, free_ports

__all__ = ["shop_template"]

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(shop_template: Shop, tmp_path: Path) -> Shop:
    """A project with four months at its source."""
    shop = shop_template.copy(tmp_path / "shop")
    for month in MONTHS:
        shop.deliver(month)
    return shop


@pytest.fixture
def ml(
    shop: Shop, on_lakefs: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Invoke]:
    """Its command, with the store on lakeFS."""
    settings = {**on_lakefs, "ML_PLATFORM_PORTS": free_ports()}
    with calling(shop, settings, monkeypatch, capfd) as call:
        try:
            yield call
        finally:
            assert call("stop").code == 0


def held() -> tuple[LakeFSStore, dict[str, str], dict[str, str]]:
    """The store of the settings of now, its branches with their commits, and its tags."""
    store = open_store(Settings())
    assert isinstance(store, LakeFSStore)
    return store, {name: store.resolve(name) for name in store.branches()}, store.tags()


def done(ml: Invoke, *arguments: str) -> str:
    """What a command prints that ends well."""
    ended = ml(*arguments)
    assert ended.code == 0, ended.out + ended.err
    return ended.out


def test_the_loop_a_rollback_and_the_check_of_a_pull_request(ml: Invoke, shop: Shop, tmp_path: Path) -> None:
    def answer(*arguments: str) -> Any:
        done(ml, *arguments, "--json", str(tmp_path / "answer.json"))
        return json.loads((tmp_path / "answer.json").read_text())

    # From the source to a served prediction.
    assert answer("run")["success"]
    assert answer("status")["models"][MODEL]["phase"] == "live"
    assert json.loads(done(ml, "predict", MODEL, "--partition", APRIL))["version"] == 1
    store, branches, tags = held()
    assert set(branches) == {MAIN, "features"}
    assert [tag.rsplit("-", 1)[0] for tag in sorted(tags)] == [f"{DATASET}-{month}" for month in MONTHS]
    merge = next(entry for entry in store.log(MAIN) if "ledger_head" in entry.metadata)
    assert (merge.metadata["dataset"], len(merge.parents)) == (DATASET, 2)

    # A corrected month is a new version of it, with the rows that differ.
    before, april = (answer("data", "show", DATASET, month) for month in (MARCH, APRIL))
    path = shop.source / f"{MARCH}.parquet"
    pl.read_parquet(path).head(590).write_parquet(path)
    launched = shop.dg("launch", "--job", f"{DATASET}_ingest", "--partition", MARCH)
    assert launched.returncode == 0, launched.stderr
    (difference,) = answer("data", "diff", DATASET, branches[MAIN])
    assert (difference["partition"], difference["added"], difference["removed"], difference["equal"]) == (
        MARCH,
        0,
        10,
        590,
    )
    assert len(answer("data", "log", DATASET)) == 5

    # Who depends on the first content: the version that is served.
    (use,) = answer("trace", "--from-dataset", before["sha256"])["uses"]
    assert (use["model"], use["version"], [phase for _, phase in use["services"]]) == (MODEL, 1, ["live"])
    assert answer("trace", "--from-dataset", held()[1][MAIN])["uses"] == []

    back = answer("data", "rollback", DATASET, MARCH, "--reason", "rows are missing")
    assert back["current"] == before["sha256"] and back["stale"] == {f"{DATASET}/features": [MARCH]}
    assert answer("data", "show", DATASET, MARCH)["sha256"] == before["sha256"]
    newest = answer("data", "log", DATASET)[0]
    assert (newest["rolled_back"], newest["reason"]) == (back["withdrawn"], "rows are missing")
    assert answer("data", "diff", DATASET, branches[MAIN]) == []

    answer("data", "rollback", DATASET, APRIL, "--reason", "wrong month", "--withdraw")
    answer("data", "rollback", DATASET, APRIL, "--reason", "right after all", "--to", april["sha256"][:12])
    assert [line.split()[3] for line in done(ml, "data", "log", DATASET).splitlines()[1:5]] == [
        "rollback",
        "rollback",
        "rollback",
        "publication",
    ]

    # A pull request is judged on a branch that goes away, or stays where it is asked for; nothing is published.
    _, branches, tags = held()
    ledger = done(ml, "ledger", "verify")
    gates = answer("check", "--branch", "pr-1", "--model", MODEL)
    assert {gate["asset"] for gate in gates} >= {f"{DATASET}/batch", f"{DATASET}/features", f"{MODEL}/service"}
    assert held()[1:] == (branches, tags)
    done(ml, "check", "--branch", "pr-2", "--model", MODEL, "--keep")
    _, after, same = held()
    assert set(after) - set(branches) == {"check-pr-2"} and same == tags
    assert {name: after[name] for name in branches} == branches
    assert [info.path for info in store.list("check-pr-2", f"features/{DATASET}")]
    assert done(ml, "ledger", "verify") == ledger

    assert "all content is as it was written" in done(ml, "data", "fsck")
    assert answer("data", "gc") == {"removed": 0}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ML_PLATFORM_LAKEFS_SECRET_KEY": "wrong"}, "does not accept access key"),  # pragma: allowlist secret
        ({"ML_PLATFORM_LAKEFS_ACCESS_KEY": "AKIANOBODY"}, "does not accept access key 'AKIANOBODY'"),
        ({"ML_PLATFORM_LAKEFS_ENDPOINT": "http://127.0.0.1:9"}, "lakeFS at http://127.0.0.1:9 failed"),
        ({"ML_PLATFORM_LAKEFS_STORAGE_NAMESPACE": ""}, "does not exist on http://"),
        ({"ML_PLATFORM_REPOSITORY": "Bad_Name"}, "repository 'Bad_Name': use 3 to 63 lower-case letters"),
    ],
    ids=["secret", "key", "address", "repository", "name"],
)
def test_a_wrong_setting_is_one_line(
    shop: Shop,
    nowhere: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    wrong: dict[str, str],
    told: str,
) -> None:
    with calling(shop, nowhere, monkeypatch, capfd) as call:
        ended = call("data", "log", DATASET, **wrong)
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("ml-platform: ") and told in line
