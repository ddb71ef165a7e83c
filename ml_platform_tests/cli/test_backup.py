"""A backup of an installation that answers, restored at another path beside it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_platform_tests.cli.conftest import Invoke, RanShop, calling
from ml_platform_tests.components.shop import DATASET, MODEL, Shop, free_ports


def moment(call: Invoke) -> dict[str, Any]:
    """What a command line tells of what was done; who answers is another question."""
    told = {name: json.loads(call(*name.split(), "--json", "-").out) for name in ("status", f"trace {MODEL}")}
    traced = told[f"trace {MODEL}"]
    return {
        "datasets": told["status"]["datasets"],
        "version": told["status"]["models"][MODEL]["version"],
        "model": traced["model_sha256"],
        "ledger": call("ledger", "verify").out,
    }


@pytest.fixture
def restored(
    ran: RanShop,
    shop_template: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[tuple[Shop, Invoke, dict[str, Any]]]:
    """The project at another path with a backup of what ran, its commands, and what the original tells."""
    with calling(ran.shop, ran.settings, monkeypatch, capfd) as original:
        done = original("backup", str(tmp_path / "backup"))
        assert done.code == 0 and "writers waited" in done.out, done.err
        before = moment(original)
    other = shop_template.copy(tmp_path / "elsewhere" / "shop")
    shutil.copytree(ran.shop.source, other.source, dirs_exist_ok=True)
    with calling(other, {"ML_PLATFORM_PORTS": free_ports()}, monkeypatch, capfd) as call:
        done = call("restore", str(tmp_path / "backup"))
        assert done.code == 0 and "each as it was backed up" in done.out, done.err
        yield other, call, before


@pytest.mark.slow
def test_it_tells_the_same_and_nothing_of_the_original_answers(
    restored: tuple[Shop, Invoke, dict[str, Any]], ran: RanShop
) -> None:
    other, call, before = restored
    assert moment(call) == before and before["datasets"][DATASET]
    asked = call("predict", MODEL)
    assert asked.code == 1 and "Traceback" not in asked.err, asked.out
    stopped = call("stop")
    assert stopped.code == 0, stopped.err
    files = [file for file in (other.root / ".local").rglob("*") if file.is_file()]
    named = [file for file in files if str(ran.shop.root).encode() in file.read_bytes()]
    # Dagster's history tells what was shown then; no step reads it.
    assert {file.relative_to(other.root / ".local").parts[0] for file in named} <= {"dagster"}


@pytest.mark.slow
def test_it_goes_on_there(restored: tuple[Shop, Invoke, dict[str, Any]], tmp_path: Path) -> None:
    other = restored[0]
    settings = {"ML_PLATFORM_PORTS": free_ports()}
    try:
        ran = other.ml("run", "--json", str(tmp_path / "run.json"), **settings)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        new = json.loads((tmp_path / "run.json").read_text())["new"]
        assert (new["commits"], new["versions"]) == (0, 0)
        assert other.ml("ledger", "verify", **settings).returncode == 0
        asked = other.ml("predict", MODEL, **settings)
        assert asked.returncode == 0, asked.stderr
    finally:
        other.ml("stop", **settings)
