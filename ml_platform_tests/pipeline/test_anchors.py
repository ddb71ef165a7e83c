"""Merges and registered versions note how far the ledger was; a ledger that was cut behind that is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from ml_platform.foundation import patience
from ml_platform.foundation.settings import Settings
from ml_platform.ledger import verified
from ml_platform.ledger.chain import Broken
from ml_platform.pipeline import anchors
from ml_platform.pipeline.workspace import Workspace
from ml_platform.registry.registry import LEDGER_TAG, SHA_TAG
from ml_platform_tests.ledger.writing import HERE, MARCH, ONE, ROWS, RULES, hand, verdict, write


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with two verdicts on a batch, and one that counts among the models."""
    found = Workspace(Settings(local=tmp_path))
    write(found.ledger, verdict(), verdict(ROWS), verdict(name="m/model", subject="3" * 64))
    return found


def cut(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The same place as a fresh process finds it, without the last entry."""
    with hand(workspace.settings.local / "ledger.db") as connection:
        connection.execute("DELETE FROM ml_platform_ledger WHERE sequence = 3")
    monkeypatch.setattr(verified, "_verified", {})
    return Workspace(workspace.settings)


def require(workspace: Workspace) -> None:
    workspace.ledger.require(ONE, [RULES, ROWS], subject_name=MARCH)


def test_a_merge_notes_it(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, anchor = workspace.store, workspace.ledger.anchor()
    assert anchor.facts == {"ledger_head": workspace.ledger.head(), "ledger_length": "3"}
    (tmp_path / "file").write_text("content")
    store.create_branch("work")
    store.commit("work", {"a": tmp_path / "file"}, "a")
    commit = store.merge("work", "main", "publish", anchor.facts)
    require(workspace)
    assert workspace.ledger.verify() == 3
    after = cut(workspace, monkeypatch)
    with pytest.raises(Broken, match=f"it ends at entry 2, commit {commit[:12]} names entry 3"):
        require(after)
    after.ledger.accept_gap(by="ann", reason="disk failed", run_id="run", provenance=HERE)
    require(after)


def test_a_registered_version_notes_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    anchor = workspace.ledger.anchor()
    client = workspace.tracking.client
    client.create_registered_model("m")
    client.create_model_version("m", source="file:///nowhere", tags={LEDGER_TAG: anchor.head, **anchors.tags(anchor)})
    assert workspace.ledger.verify() == 3
    after = cut(workspace, monkeypatch)
    # MLflow is not opened for it: a batch is published while its server is away.
    require(after)
    assert after.registry
    with pytest.raises(Broken, match="it ends at entry 2, m version 1 names entry 3"):
        after.ledger.verify(["m"])
    with pytest.raises(Broken, match="m version 1 names entry 3"):
        after.ledger.require_whole({"m"})


def test_a_place_that_cannot_be_reached_is_named(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Workspace(workspace.settings.model_copy(update={"mlflow_tracking_uri": SecretStr("http://127.0.0.1:1")}))
    with patience.waiting(0):
        assert away.tracking
        assert away.ledger.verify(["m"]) == 3
    assert "ledger: not compared with a place that notes its head" in caplog.text


def registered(workspace: Workspace) -> None:
    """A version that notes the head of now."""
    anchor, client = workspace.ledger.anchor(), workspace.tracking.client
    client.create_registered_model("m")
    tags = {SHA_TAG: "3" * 64, LEDGER_TAG: anchor.head, **anchors.tags(anchor)}
    client.create_model_version("m", source="file:///nowhere", tags=tags)


def test_a_note_that_was_taken_away_is_missed(workspace: Workspace) -> None:
    registered(workspace)
    assert workspace.ledger.verify(["m"]) == 3
    for name in (LEDGER_TAG, *(tag for tag in anchors.tags(workspace.ledger.anchor()))):
        workspace.tracking.client.delete_model_version_tag("m", "1", name)
    with pytest.raises(Broken, match="the note of its head at m version 1 was taken away"):
        workspace.ledger.verify(["m"])
    with pytest.raises(Broken, match="was taken away"):
        workspace.ledger.require_whole({"m"})
    workspace.ledger.accept_gap(by="ann", reason="cleared by mistake", owners=["m"], run_id="run", provenance=HERE)
    assert workspace.ledger.verify(["m"]) == 4


def test_a_decision_on_a_version_notes_how_far_the_ledger_is(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(workspace)
    body = {"version": 1, "service": "5" * 64}
    decided = {"subject": "3" * 64, "subject_name": "m/champion", "body": body, "run_id": "run", "provenance": HERE}
    workspace.ledger.decide("promotion", **decided)
    anchors.note_decision(workspace.ledger, workspace.registry, "m", 1)
    assert workspace.ledger.verify(["m"]) == 4
    with hand(workspace.settings.local / "ledger.db") as connection:
        connection.execute("DELETE FROM ml_platform_ledger WHERE sequence = 4")
    monkeypatch.setattr(verified, "_verified", {})
    after = Workspace(workspace.settings)
    assert after.registry
    with pytest.raises(Broken, match=r"it ends at entry 3, m version 1 \(its last decision\) names entry 4"):
        after.ledger.require_whole({"m"})


def test_a_champion_that_the_ledger_does_not_know_is_told(workspace: Workspace) -> None:
    champion = SimpleNamespace(champion=lambda model: SimpleNamespace(version=2) if model == "m" else None)

    def told() -> list[str]:
        return list(anchors.unheard(workspace.ledger, champion, ["m", "n"]))  # type: ignore[arg-type]

    assert len(told()) == 1 and "m version 2 is champion in the registry" in told()[0]
    facts = {"subject": ONE, "subject_name": "m/champion", "run_id": "run", "provenance": HERE}
    workspace.ledger.decide("promotion", body={"version": 2, "service": ONE}, **facts)
    assert told() == []
