"""What an older commit made goes on under this code: read, traced, verified, replayed, and nothing is made again.

``installation-N.tar.xz`` are installations as :mod:`~ml_platform_tests.upgrade.make_installation` made them, each by
the code of the commit that ``installation-N.json`` names beside what it held.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.files import sha256_file
from ml_platform_tests.conftest import ports
from ml_platform_tests.upgrade.installation import HERE, PLACE, Installation, left_behind, unpack

NUMBERS = [path.name.removesuffix(".tar.xz").removeprefix("installation-") for path in HERE.glob("installation-*.xz")]


@pytest.fixture(scope="module", params=sorted(NUMBERS))
def number(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def held(number: str) -> dict[str, Any]:
    """What the installation held when it was packed."""
    return json.loads((HERE / f"installation-{number}.json").read_text())


@pytest.fixture(scope="module")
def shop(number: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation at a place of its own; what its commands start is stopped in the end."""
    root = tmp_path_factory.mktemp("upgrade") / "shop"
    installation = unpack(HERE / f"installation-{number}.tar.xz", root, ports(3340, 60))
    yield installation
    stopped = installation.ml("stop")
    assert stopped.returncode == 0, stopped.stderr


def succeeded(shop: Installation, *arguments: str, **environment: str) -> str:
    done = shop.ml(*arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told(shop: Installation, file: Path, now: str, *arguments: str) -> dict[str, Any]:
    """What a command writes as JSON, on a clock that shows ``now``: overrides end, and these tests stay."""
    succeeded(shop, *arguments, "--json", str(file), ML_PLATFORM_NOW=now)
    return json.loads(file.read_text())


def told_of(shop: Installation, folder: Path, now: str, commands: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The same of several commands, which share a process; by any names."""
    files = {name: folder / f"{name}.json" for name in commands}
    asked = [(*command, "--json", str(files[name])) for name, command in commands.items()]
    done = shop.several(*asked, ML_PLATFORM_NOW=now)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads(file.read_text()) for name, file in files.items()}


def models(shop: Installation) -> dict[str, str]:
    """Model files of every training, with their hashes."""
    files = (shop.local / "mlflow" / "artifacts").glob("*/*/artifacts/model/model.*")
    return {str(file.relative_to(shop.local)): sha256_file(file) for file in files}


def later(held: dict[str, Any]) -> str:
    """When the override of the installation has ended."""
    return (datetime.fromisoformat(held["at"]) + timedelta(days=30)).isoformat()


def test_it_names_another_place_that_is_gone(shop: Installation) -> None:
    named = {path.relative_to(shop.local).parts[0] for path in left_behind(shop.local, PLACE)}
    assert named == {"mlflow", "refs", "rollout"} and not Path(PLACE).exists()
    assert shop.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_status_and_ledger_are_as_they_were(shop: Installation, held: dict[str, Any], tmp_path: Path) -> None:
    now = told(shop, tmp_path / "status.json", held["at"], "status")
    assert (now["datasets"], now["models"]) == (held["datasets"], held["models"])
    assert succeeded(shop, "ledger", "verify").strip() == held["ledger"]


@pytest.mark.slow
def test_every_version_is_traced(shop: Installation, held: dict[str, Any], tmp_path: Path) -> None:
    wanted = {f"{model}@{number}": one for model, traces in held["traces"].items() for number, one in traces.items()}
    found = told_of(shop, tmp_path, held["at"], {version: ("trace", version) for version in wanted})
    for traced in found.values():
        for entry in (*traced["train"], *traced["holdout"]):
            # Told since; they passed then as they do now.
            assert {*entry.pop("uncompared")} <= {gate for gate, said in entry["verdicts"].items() if said == "passed"}
    assert found == wanted


@pytest.mark.slow
def test_a_version_is_replayed_to_the_same_bytes(shop: Installation, held: dict[str, Any], tmp_path: Path) -> None:
    found = told(shop, tmp_path / "replay.json", later(held), "replay", "returned@1", "--environment", "present")
    assert found["equal"] and found["rebuilt"] == held["traces"]["returned"]["1"]["model_sha256"]


def corrected(shop: Installation) -> None:
    """The imports of the user's code as this release wants them."""
    for file in (shop.root / "src").rglob("source.py"):
        file.write_text(
            re.sub(r"from ml_platform\.(errors|files)", r"from ml_platform.foundation.\1", file.read_text())
        )


@pytest.mark.slow
def test_a_run_makes_nothing_again(shop: Installation, held: dict[str, Any], tmp_path: Path) -> None:
    trained = models(shop)
    told_off = shop.ml("validate")
    assert told_off.returncode == 1
    assert "imports ml_platform.errors, which is ml_platform.foundation.errors now" in told_off.stdout + told_off.stderr
    corrected(shop)
    succeeded(shop, "validate")
    found = told(shop, tmp_path / "run.json", later(held), "run")
    assert found["success"]
    assert models(shop) == trained and len(trained) == 9, "no model was trained again"
    assert (found["new"]["commits"], found["new"]["versions"]) == (0, 0)
    traces = {model: ("trace", model) for model in held["models"]}
    told_now = told_of(shop, tmp_path, later(held), {"status": ("status",), **traces})
    now = told_now["status"]
    assert now["datasets"] == held["datasets"], "main has no new commit"
    for model, before in held["models"].items():
        after = now["models"][model]
        for key in ("candidate", "version", "approval", "champion"):
            assert after[key] == before[key], (model, key)
        assert after["phase"] == "live", "the services of the last versions answer again"
        assert told_now[model]["model_sha256"] == held["traces"][model][str(before["champion"])]["model_sha256"]
