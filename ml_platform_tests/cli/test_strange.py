"""A package that nobody approved answers, or a record is damaged: every command names it and loses nothing else."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.serving import bundle
from ml_platform_tests.cli.conftest import Invoke, RanShop
from ml_platform_tests.components.shop import MODEL

pytestmark = pytest.mark.slow


def _flat(text: str) -> str:
    return " ".join(re.sub(r"[│├└─]+", " ", text).split())


@pytest.fixture
def record(ran: RanShop, history: Path, invoke: Invoke) -> Iterator[Path]:
    """The rollout record, which is as it was afterwards, and carried out."""
    file = history.with_name(f"{MODEL}.json")
    before, led = file.read_bytes(), history.read_bytes()
    yield file
    _exchange(history, led)
    _exchange(file, before)
    _wait(invoke, 1)


@pytest.fixture
def history(ran: RanShop) -> Path:
    """The changes that led to the rollout record, a line each."""
    return ran.shop.root / ".local" / "rollout" / "records" / f"{MODEL}.history.jsonl"


def _exchange(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.rename(file)


def _wait(invoke: Invoke, version: int) -> None:
    """Until a version answers at the model's address."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = invoke("predict", MODEL, "--limit", "1")
        if found.code == 0 and json.loads(found.out)["version"] == version:
            return
        time.sleep(1)
    raise AssertionError(f"version {version} does not answer")


def _forged(root: Path, version: int) -> dict[str, object]:
    """A package of another version, made of the one that was judged; what a record says of it."""
    (made,) = (root / ".local" / "bentos").glob(f"{MODEL}-1-*")
    place = made.with_name("forged")
    shutil.copytree(made, place)
    source = place / bundle.SOURCE
    service = source / bundle.FOLDER / bundle.SERVICE
    service.write_text(json.dumps({**json.loads(service.read_text()), "version": version}))
    sha256 = bundle.content_sha256(source)
    judged = bundle.content_sha256(made / bundle.SOURCE)
    for file in place.rglob("bento.yaml"):
        text = file.read_text().replace(judged, sha256)
        file.write_text(text.replace(f"v1-{judged[:12]}", f"v{version}-{sha256[:12]}"))
    named = place.rename(made.with_name(f"{MODEL}-{version}-{sha256[:12]}"))
    tag = f"{MODEL}:v{version}-{sha256[:12]}"
    return {"version": version, "sha256": sha256, "path": f"bentos/{named.name}", "tag": tag, "port": None}


def test_what_answers_and_was_never_registered_is_named_by_every_command(
    ran: RanShop, invoke: Invoke, record: Path, history: Path, tmp_path: Path
) -> None:
    assert "answers" in invoke("why", MODEL).out
    judged = json.loads(record.read_text())
    forged = _forged(ran.shop.root, 7)
    stable = {**judged["stable"], **forged}
    # In its last change and in its history as well: a record that contradicts one of them is damaged.
    change = {**judged["change"], "stable": stable}
    lines = history.read_text().splitlines()[:-1]
    _exchange(history, "".join(f"{line}\n" for line in [*lines, json.dumps(change)]).encode())
    _exchange(record, json.dumps({**judged, "stable": stable, "change": change}).encode())
    _wait(invoke, 7)
    sha256 = str(forged["sha256"])[:12]
    lets = f"{MODEL}: its rollout record lets version 7 ({sha256}) answer, which was never promoted"
    shown = invoke("status", "--json", str(tmp_path / "status.json"))
    assert shown.code == 0, shown.err
    assert lets in shown.out and f"version 7 answers ({sha256}) and is not registered" in shown.out
    assert "supervisor: running" in shown.out
    (row,) = json.loads((tmp_path / "status.json").read_text())["models"].values()
    assert (row["version"], row["promoted"], row["phase"]) == (1, False, "live")
    for shown in ("status", "history"):
        assert lets in invoke("rollout", shown, MODEL).out
    assert f"version 7 ({sha256}) answers, but version 7 is not registered" in _flat(invoke("trace", MODEL).out)
    first = invoke("why", MODEL).out.splitlines()[0]
    assert first.startswith(f"{MODEL}: what answers is not an approved package (version 7 at http")
    verified = invoke("ledger", "verify")
    assert verified.code == 1 and lets in verified.out and "unbroken" in verified.out


def test_a_damaged_record_hides_nothing_else(ran: RanShop, invoke: Invoke, record: Path, tmp_path: Path) -> None:
    _exchange(record, b"{")
    shown = invoke("status", "--json", str(tmp_path / "status.json"))
    assert shown.code == 1
    assert f"the rollout record of {MODEL} cannot be read" in shown.out and "supervisor: running" in shown.out
    assert f"the rollout record of {MODEL}" in shown.err
    found = json.loads((tmp_path / "status.json").read_text())
    assert found["models"][MODEL]["version"] == 1 and found["models"][MODEL]["phase"] == "live"
    assert list(found["unreadable"]) == [f"the rollout record of {MODEL}"]
