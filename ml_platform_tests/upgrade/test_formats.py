"""Stored formats as they are on disk (``formats-N.json``) are read, and give the hashes that they gave.

Other files name these hashes, so a change here is a change of format: it takes a number, a reader for the one before,
and a file of literals beside this one.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Verdict
from ml_platform.ledger.ledger import Broken, Ledger
from ml_platform.references.files import FileReferences
from ml_platform.rollout.record_files import RecordFiles
from ml_platform_tests.upgrade.installation import HERE

STORED: dict[str, Any] = json.loads((HERE / "formats-1.json").read_text())
KINDS = ("dataset", "features", "split", "model", "report", "version", "service", "deployment")


#: Where what was stored lay; since then places below it are named by relative paths.
LOCAL = "/srv/shop/.local/"


def assert_holds(found: Any, stored: Any, where: str = "") -> None:
    """Whatever was stored is read; what came later may stand beside it."""
    if isinstance(stored, str) and stored.startswith(LOCAL) and where.endswith((".html", ".path")):
        stored = stored.removeprefix(LOCAL)
    if isinstance(stored, dict):
        for name, value in stored.items():
            assert_holds(found[name], value, f"{where}.{name}")
    elif isinstance(stored, list):
        assert len(found) == len(stored), where
        for place, value in enumerate(stored):
            assert_holds(found[place], value, f"{where}[{place}]")
    else:
        assert found == stored, where


@pytest.mark.parametrize("kind", KINDS)
def test_references_are_read(kind: str, tmp_path: Path) -> None:
    stored = STORED["references"][kind]
    folder = tmp_path / "refs" / "asset" / "2024-02-01"
    folder.mkdir(parents=True)
    (folder / "latest.json").write_text(json.dumps(stored))
    found = FileReferences(tmp_path / "refs").load("asset", "2024-02-01")
    assert_holds(found.model_dump(mode="json"), stored)
    FileReferences(tmp_path / "refs").save("asset", "2024-02-01", found)
    assert_holds(json.loads((folder / f"{stored['run_id']}.json").read_text()), stored)


def test_every_kind_of_reference_is_here() -> None:
    assert STORED["references"].keys() == set(KINDS)


def test_a_manifest_has_the_hash_that_models_name(tmp_path: Path) -> None:
    folder = tmp_path / "refs" / "asset"
    folder.mkdir(parents=True)
    (folder / "latest.json").write_text(json.dumps(STORED["references"]["model"]))
    model = FileReferences(tmp_path / "refs").load("asset")
    assert model.split.sha256 == STORED["split_sha256"] == model.manifest_sha256
    # Where it is read from is no part of what it says; what it says is.
    entry = model.split.train[0]
    elsewhere = model.split.model_copy(update={"train": (entry.model_copy(update={"commit": "0" * 40}),)})
    assert elsewhere.sha256 == model.split.model_copy(update={"train": (entry,)}).sha256
    shorter = model.split.model_copy(update={"train": (entry.model_copy(update={"rows": 1}),)})
    assert shorter.sha256 != elsewhere.sha256


def test_a_rollout_record_is_read(settings: Settings) -> None:
    stored = STORED["rollout_record"]
    records = RecordFiles(settings)
    path = records.path(stored["model"])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(stored))
    found = records.load(stored["model"]).model_dump(mode="json")
    # Nobody wrote a rule then, and the history has a file of its own now.
    kept = {name: value for name, value in stored.items() if name not in {"format", "rules", "history"}}
    assert_holds(found, kept)
    history = [change.model_dump(mode="json") for change in records.history(stored["model"])]
    assert_holds(history, stored["history"])


def ledger_of(file: Path, rows: list[dict[str, Any]]) -> Ledger:
    """A ledger whose rows were written by other code."""
    ledger = Ledger(f"sqlite:///{file}")
    names = list(rows[0])
    with closing(sqlite3.connect(file)) as connection:
        connection.executemany(
            f"INSERT INTO ml_platform_ledger ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            [tuple(row[name] for name in names) for row in rows],
        )
        connection.commit()
    return ledger


def test_ledger_rows_keep_their_chain(tmp_path: Path) -> None:
    rows = STORED["ledger"]
    ledger = ledger_of(tmp_path / "ledger.db", rows)
    assert ledger.verify() == len(rows) and ledger.head() == STORED["ledger_head"] == rows[-1]["hash"]
    entries = ledger.entries()
    assert [entry.hash for entry in entries] == [row["hash"] for row in rows]
    assert {entry.kind for entry in entries} == {
        *("verdict", "override", "publication", "approval", "registration", "promotion", "rejection")
    }
    verdict = Verdict.model_validate(entries[0].body)
    assert_holds(verdict.model_dump(mode="json"), json.loads(rows[0]["body"]))
    (marked,) = ledger.verdicts(verdict.subject).values()
    assert marked.gate == "volume" and marked.status == "failed"

    forged = [{**rows[0], "body": rows[0]["body"].replace("failed", "passed")}, *rows[1:]]
    with pytest.raises(Broken):
        ledger_of(tmp_path / "forged.db", forged).verify()


def test_declarations_of_gates_keep_the_hash_that_verdicts_name() -> None:
    assert len(STORED["gate_declarations"]) > 40
    for declaration, gate in STORED["gate_declarations"].items():
        assert Gate.model_validate(gate).declaration == declaration, gate
