"""What people do with a rollout at the command line, on three real versions behind one address."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform_tests.cli.conftest import Ended, Invoke, calling, only_line
from ml_platform_tests.components.shop import MODEL, MONTHS, Shop, free_ports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Envoy.is_here(), reason="there is no wheel of Envoy for this machine"),
]

WORDS = ("--by", "ann", "--reason", "as agreed")
#: A candidate gets some requests, and waits for more than anybody here sends.
WAITS = "  rollout:\n    watch: 0\n    steps: [{weight: 10, requests: 100000}]\n"


@pytest.fixture(scope="module")
def live(shop_template: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, dict[str, str]]]:
    """Versions 1 to 3 were made; 1 and 2 answered, 2 does, and 3 waits in its first step."""
    shop = shop_template.copy(tmp_path_factory.mktemp("rollout") / "shop")
    for month in MONTHS:
        shop.deliver(month)
    settings = {"ML_PLATFORM_PORTS": free_ports()}

    def ml(*commands: tuple[str, ...]) -> None:
        done = shop.several(*commands, **settings)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        file = shop.edit(MODEL, "rounds: 200", "rounds: 20")
        file.write_text(file.read_text().replace("min: -0.01}", "min: -0.3}") + WAITS)
        ml(("run",))
        shop.edit(MODEL, "rounds: 20", "rounds: 21")
        ml(("run", "--model", MODEL), ("rollout", "promote", MODEL, *WORDS))
        shop.edit(MODEL, "rounds: 21", "rounds: 22")
        ml(("run", "--model", MODEL))
        yield shop, settings
    finally:
        assert shop.ml("stop", **settings).returncode == 0


@pytest.fixture
def invoke(
    live: tuple[Shop, dict[str, str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Invoke]:
    with calling(*live, monkeypatch, capfd) as call:
        yield call


@pytest.fixture
def rollout(invoke: Invoke) -> Invoke:
    """A command below ``rollout`` of the model, with a name and a reason."""

    def call(what: str, *further: str) -> Ended:
        return invoke("rollout", what, MODEL, *WORDS, *further)

    return call


@pytest.fixture
def stands(invoke: Invoke, tmp_path: Path) -> Any:
    """Stable version, candidate's version and step, and the version that really answers, as the command says."""

    def look() -> tuple[int | None, int | None, int, int | None]:
        file = tmp_path / "status.json"
        assert invoke("rollout", "status", MODEL, "--json", str(file)).code == 0
        found = json.loads(file.read_text())
        answered = invoke("predict", MODEL)
        stable, candidate = (found[name] and found[name]["version"] for name in ("stable", "candidate"))
        return stable, candidate, found["step"], json.loads(answered.out)["version"] if answered.code == 0 else None

    return look


def told() -> list[tuple[str, int, str]]:
    """Kind, version and author of what the ledger tells of the champion."""
    entries = Workspace().ledger.entries(subject_name=f"{MODEL}/champion")
    return [(entry.kind, entry.body["version"], entry.body["by"]) for entry in entries]


def champion() -> int:
    found = Workspace().registry.champion(MODEL)
    assert found is not None
    return found.version


def test_a_candidate_is_held_let_go_on_and_given_up(rollout: Invoke, invoke: Invoke, stands: Any) -> None:
    if stands()[1] is None:
        assert rollout("start").code == 0
    # A request in ten may be answered by the candidate.
    assert stands()[:3] == (2, 3, 1)
    for what, paused in (("pause", True), ("resume", False)):
        done = rollout(what)
        assert (done.code, ", paused" in done.out) == (0, paused)
        assert f"last change: {what} by ann: as agreed" in done.out
    assert rollout("abort").code == 0
    assert stands() == (2, None, 0, 2)
    assert told()[-1] == ("rollback", 3, "ann") and champion() == 2
    for what in ("abort", "pause", "resume", "promote"):
        done = rollout(what)
        assert (done.code, only_line(done.err)) == (1, f"ml-platform: {MODEL}: no rollout is under way")
    for what, words in (("start", (" ", "x")), ("rollback", ("ann", " ")), ("start", ("Supervisor", "x"))):
        done = invoke("rollout", what, MODEL, "--by", words[0], "--reason", words[1])
        assert done.code == 1 and "name" in only_line(done.err)
        assert invoke("rollout", what, MODEL, "--by", "ann").code == 2


def test_one_version_is_rolled_back_twice_in_a_row_and_each_is_told(rollout: Invoke, stands: Any) -> None:
    if stands()[1] is not None:
        assert rollout("abort").code == 0
    before = len(told())
    for _ in range(2):
        assert rollout("start").code == 0
        assert rollout("promote").code == 0
        assert stands() == (3, None, 0, 3) and champion() == 3
        done = rollout("rollback")
        assert (done.code, "version 2 answers at" in done.out) == (0, True)
        assert stands() == (2, None, 0, 2) and champion() == 2
    assert told()[before:] == [("promotion", 3, "ann"), ("promotion", 2, "ann")] * 2
    # Asked for once more it leads further back, never to what was left.
    assert rollout("rollback").code == 0 and stands() == (1, None, 0, 1) and champion() == 1
    done = rollout("rollback")
    assert done.code == 1 and f"version 3 was left before; ml-platform rollout rollback {MODEL} --to 3" in done.err
    done = rollout("rollback", "--to", "1")
    assert (done.code, only_line(done.err)) == (1, f"ml-platform: {MODEL}: version 1 answers already")
    done = rollout("rollback", "--to", "7")
    assert done.code == 1 and "version 7 never answered" in only_line(done.err)
    assert rollout("rollback", "--to", "3").code == 0 and stands() == (3, None, 0, 3)


def test_what_is_withdrawn_answers_again_at_its_address_when_that_is_wished(
    rollout: Invoke, invoke: Invoke, stands: Any
) -> None:
    url = invoke("rollout", "status", MODEL).out.split(" at ")[1].split()[0]
    for version in ("1", "2"):
        rollout("rollback", "--to", version)
    assert stands()[3] == 2
    done = invoke("withdraw", MODEL, *WORDS)
    assert (done.code, "is withdrawn by ann: as agreed" in done.out) == (0, True)
    assert told()[-1] == ("withdrawal", 2, "ann")
    assert stands() == (None, None, 0, None)
    done = invoke("withdraw", MODEL, "--by", "bob", "--reason", "again")
    assert done.code == 1 and "it was withdrawn by ann (as agreed)" in only_line(done.err)
    done = rollout("rollback", "--to", "1")
    assert (done.code, f"version 1 answers at {url}\n" in done.out) == (0, True), done.err
    assert stands() == (1, None, 0, 1) and champion() == 1
    assert invoke("withdraw", MODEL, *WORDS).code == 0
    # Nothing to compare it with answers: the newest package gets all requests.
    assert rollout("start").code == 0 and stands() == (3, None, 0, 3) and champion() == 3
    assert rollout("rollback", "--to", "2").code == 0 and stands() == (2, None, 0, 2)


def test_the_history_tells_every_change_and_who_made_it(rollout: Invoke, invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    done = invoke("rollout", "history", MODEL, "--json", str(file))
    changes = json.loads(file.read_text())
    assert [change["revision"] for change in changes] == [*range(1, len(changes) + 1)]
    assert {"start", "step", "promote", "address"} <= {change["action"] for change in changes}
    assert all(change["who"] and change["why"] for change in changes)
    assert "as agreed" in done.out and len(done.out.splitlines()) >= len(changes)
    assert invoke("ledger", "verify").code == 0
    promoted = [change for change in changes if change["action"] == "promote"]
    assert len(promoted) == len([kind for kind, *_ in told() if kind == "promotion"])
    assert rollout("history").code == 2  # it takes no decision
