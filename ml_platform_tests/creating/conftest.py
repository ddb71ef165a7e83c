"""A project of one's own, as ``create-dagster`` leaves it: a package with definitions, and nothing of the platform."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ml_platform_tests.conftest import ROOT
from ml_platform_tests.creating.project import Mine

_NUMBERS = count(1)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mine]:
    """An empty project that this process works in."""
    package = f"mine_{next(_NUMBERS)}"
    root = tmp_path / "project"
    code = root / "src" / package
    (code / "defs").mkdir(parents=True)
    for folder in (code, code / "defs"):
        (folder / "__init__.py").touch()
    shop = ROOT / "ml_platform_tests" / "shop" / "src" / "grocery" / "definitions.py"
    (code / "definitions.py").write_text(shop.read_text())
    (root / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package}"\n'
    )
    monkeypatch.chdir(root)
    monkeypatch.setenv("DAGSTER_HOME", str(root))
    monkeypatch.setenv("ML_PLATFORM_LOCAL", str(root / ".local"))
    monkeypatch.syspath_prepend(str(root / "src"))
    yield Mine(root, package)
