"""What is handed out about a version can be checked by somebody else, and says nothing that nobody said."""

import base64
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ml_platform.cli import evidence as command
from ml_platform.documents import attestation
from ml_platform.documents.bill_of_materials import require_valid
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.chain import Broken
from ml_platform.pipeline import evidence
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MODEL, copy_of, declared

KEY = base64.b64encode(bytes(range(32))).decode()
OWNED = declared(models={MODEL: {"owners": ["ann@example.com"], "purpose": "Says what comes back.", "limits": ""}})


@pytest.fixture(scope="module")
def project(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a registered version, whose ledger is signed from here on."""
    project = copy_of(with_models, tmp_path_factory.mktemp("evidence") / "shop", OWNED, ML_PLATFORM_LEDGER_KEY=KEY)
    with project.active() as workspace:
        run = Run.new()
        workspace.ledger.sign(by="ann", reason="from now on", run_id=run.id, provenance=run.provenance)
    return project


def pack(project: Project, folder: Path) -> evidence.Pack:
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        return evidence.write(workspace, project.context(), version, folder)


@pytest.fixture(scope="module")
def written(project: Project, tmp_path_factory: pytest.TempPathFactory) -> evidence.Pack:
    return pack(project, tmp_path_factory.mktemp("pack") / "new")


def envelopes(found: evidence.Pack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (found.folder / evidence.STATEMENTS).read_text().splitlines()]


def said(found: evidence.Pack) -> list[dict[str, Any]]:
    return [json.loads(base64.b64decode(one["payload"])) for one in envelopes(found)]


def test_every_file_is_the_one_that_the_sums_name(written: evidence.Pack) -> None:
    sums = (written.folder / evidence.SUMS).read_text().splitlines()
    lines = {name: sha256 for sha256, name in (line.split("  ") for line in sums)}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written.folder.iterdir()}
    del found[evidence.SUMS]
    assert lines == found == written.files and len(found) == 5


def test_statements_are_signed_by_the_key_of_the_ledger_and_by_no_other(written: evidence.Pack) -> None:
    public = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
    assert written.key == base64.b64encode(public).decode()
    checker = Ed25519PublicKey.from_public_bytes(public)
    for one in envelopes(written):
        (signature,) = one["signatures"]
        assert signature["keyid"] == hashlib.sha256(public).hexdigest()
        payload = base64.b64decode(one["payload"])
        # As DSSE says it, and not as the code under test does.
        signed = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
        checker.verify(base64.b64decode(signature["sig"]), signed)
        with pytest.raises(InvalidSignature):
            checker.verify(base64.b64decode(signature["sig"]), signed.replace(b"PASSED", b"FAILED") + b" ")


def test_every_verdict_on_what_the_version_is_made_of_is_a_statement(project: Project, written: evidence.Pack) -> None:
    training, *others = said(written)
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        ledger = workspace.ledger.log()
    assert training["predicateType"] == attestation.TRAINING
    assert training["subject"] == [{"name": f"{MODEL}@1", "digest": {"sha256": version.model_ref.file_hash}}]
    definition = training["predicate"]["buildDefinition"]
    used = {one["digest"].get("sha256") for one in definition["resolvedDependencies"]}
    split = version.model_ref.split
    batches = {sha256 for one in (*split.train, *split.holdout) for sha256 in one.inputs.values()}
    assert {one.sha256 for one in (*split.train, *split.holdout)} < used
    assert {next(iter(one.inputs.values())) for one in split.train} & used and used & batches
    contents = {*used, split.sha256, version.sha256}
    wanted = {(one.subject, one.gate): one.hash for one in ledger if one.kind == "verdict" and one.subject in contents}
    verdicts = [one for one in others if one["predicateType"] == attestation.VERDICT]
    found = {
        (one["subject"][0]["digest"]["sha256"], (passed or one["predicate"].get("warnedTests"))[0]): one["predicate"][
            "annotations"
        ]["ledger"]["hash"]
        for one in verdicts
        if (passed := one["predicate"].get("passedTests") or one["predicate"].get("failedTests")) or True
    }
    assert found == wanted and len(found) > 20
    assert {one["predicate"]["result"] for one in verdicts} <= {"PASSED", "WARNED"}
    assert {one["predicate"]["kind"] for one in others if one["predicateType"] == attestation.DECISION} >= {"approval"}


def test_the_bill_has_model_data_and_packages_and_keeps_its_schema(project: Project, written: evidence.Pack) -> None:
    text = (written.folder / evidence.BILL).read_text()
    require_valid(text)
    bill = json.loads(text)
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", MODEL, "1")
    assert model["modelCard"]["considerations"]["useCases"] == ["Says what comes back."]
    kinds = [one["type"] for one in bill["components"]]
    assert kinds.count("data") >= 4
    refs = {one["bom-ref"] for one in bill["components"]}
    assert set(bill["dependencies"][0]["dependsOn"]) == refs and len(refs) == len(bill["components"])
    del bill["metadata"]["component"]["name"]
    with pytest.raises(PlatformError, match=r"no CycloneDX 1\.6"):
        require_valid(json.dumps(bill))


def test_the_document_names_what_only_people_know_and_whom_to_ask(written: evidence.Pack) -> None:
    text = (written.folder / evidence.DOCUMENT).read_text()
    for number in range(1, 10):
        assert f"\n## {number}. " in text
    assert "Says what comes back." in text and "| performance_auc |" in text and "| approval |" in text
    asked = text.count("**Not filled:**")
    assert asked == len(written.wanted) == text.count("To be said by: ann@example.com.") and asked >= 8
    assert "limits of its use" in text, "nobody declared any"
    assert next(one for one in written.wanted if one.number == "2(e)").wanted.startswith("no person decided")


def test_equal_knowledge_gives_equal_bytes_and_another_folder_is_left_alone(
    project: Project, written: evidence.Pack, tmp_path: Path
) -> None:
    again = pack(project, tmp_path / "again")
    assert again.files == written.files
    assert pack(project, again.folder).files == written.files, "written over"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(PlatformError, match=r"holds notes.txt, which is no file of an evidence pack"):
        pack(project, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_nothing_is_handed_out_of_a_broken_ledger_or_of_an_edited_card(with_models: Path, tmp_path: Path) -> None:
    project = copy_of(with_models, tmp_path / "shop", OWNED)
    assert pack(project, tmp_path / "sound").key == "", "without a key nothing is signed"
    with project.active() as workspace:
        version = workspace.registry.get(MODEL, 1)
        workspace.registry.set_card(version, "# The best model\n")
    with pytest.raises(PlatformError, match=r"its model card was edited; materialize .* before anything is handed out"):
        pack(project, tmp_path / "edited")
    cut = copy_of(with_models, tmp_path / "cut", OWNED)
    with sqlite3.connect(next(cut.folder.rglob("ledger.db"))) as connection:
        connection.execute("DELETE FROM ml_platform_ledger WHERE sequence = 4")
    with pytest.raises(Broken):
        pack(cut, tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_the_command_says_what_is_left_to_people(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_platform.declarations.loading.project_catalogue", lambda: project.catalogue)
    with project.active():
        command.evidence(f"{MODEL}@1", tmp_path / "pack", tmp_path / "out.json")
    shown = capsys.readouterr().out
    assert f"{MODEL} version 1: 5 files in" in shown and "signed with " in shown and "5 Risk management" in shown
    assert json.loads((tmp_path / "out.json").read_text())["files"].keys() == {*evidence._names()}


def whole(found: evidence.Pack) -> dict[str, Any]:
    envelope = json.loads((found.folder / evidence.WHOLE).read_text())
    return json.loads(base64.b64decode(envelope["payload"]))


def test_one_signed_statement_names_every_file_every_statement_and_the_ledger(
    project: Project, written: evidence.Pack
) -> None:
    envelope, said_of = json.loads((written.folder / evidence.WHOLE).read_text()), whole(written)
    checker = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    payload = base64.b64decode(envelope["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    checker.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written.folder.iterdir()}
    del files[evidence.SUMS], files[evidence.WHOLE]
    assert {one["name"]: one["digest"]["sha256"] for one in said_of["subject"]} == files
    of = said_of["predicate"]
    payloads = [hashlib.sha256(base64.b64decode(one["payload"])).hexdigest() for one in envelopes(written)]
    assert [one["sha256"] for one in of["statements"]] == payloads and len(payloads) == written.statements
    with project.active() as workspace:
        anchor = workspace.ledger.anchor()
    assert (of["ledger"]["head"], of["ledger"]["length"], of["gaps"], of["loosenings"]) == (
        anchor.head, anchor.length, [], []
    )  # fmt: skip
    assert of["ledger"]["signedSince"] == anchor.length
    text = (written.folder / evidence.DOCUMENT).read_text()
    assert f"signed from entry {anchor.length} on" in text and "are older and were not signed" in text


def test_gaps_and_who_loosened_gates_are_told(with_models: Path, tmp_path: Path) -> None:
    project, run = copy_of(with_models, tmp_path / "shop", OWNED), Run.new()
    by = {"run_id": run.id, "provenance": run.provenance}
    with project.active() as workspace:
        gap = workspace.ledger.accept_gap(by="ann", reason="the disk failed", **by)
        body = {"by": "bob", "because": "too strict", "version": 1, "changes": [["a", "b"]]}
        for model in (MODEL, "another"):
            workspace.ledger.decide("loosening", subject="9" * 64, subject_name=f"{model}/gates", body=body, **by)
    found = pack(project, tmp_path / "pack")
    of = whole(found)["predicate"]
    assert [(one["by"], one["annotations"]["ledger"]["sequence"]) for one in of["gaps"]] == [("ann", gap.sequence)]
    assert [one["by"] for one in of["loosenings"]] == ["bob"]
    assert [one["predicate"]["by"] for one in said(found) if one["predicate"].get("kind") == "loosening"] == ["bob"]
    text = (found.folder / evidence.DOCUMENT).read_text()
    assert "It has gaps:" in text and "the disk failed" in text and "| loosening | bob | too strict |" in text
    assert "No entry of it is signed." in text
