"""Libraries whose private parts the platform uses: the range that is installed is the one that was tested."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.internals import internals_of
from ml_platform.models import xgboost_internals
from ml_platform.orchestration import dagster_internals
from ml_platform.serving import bentoml_internals
from ml_platform_tests.conftest import ROOT

#: Library → its adapter, and the names of what is private there.
ADAPTERS = {
    "dagster": (dagster_internals, r"\bdagster\._"),
    "bentoml": (bentoml_internals, r"\b_bentoml_\w+|\bbentoml\._"),
    "xgboost": (xgboost_internals, r"\bxgboost\.\w*\._|\b_LIB\b|\b_check_call\b"),
}


def install(folder: Path, distribution: str, version: str) -> None:
    """What an installed distribution leaves for others to read."""
    place = folder / f"{distribution}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")


def holding(pattern: str) -> set[Path]:
    """Modules of the platform in which a pattern is found."""
    return {file for file in (ROOT / "ml_platform").rglob("*.py") if re.search(pattern, file.read_text())}


@pytest.mark.parametrize("library", ADAPTERS)
def test_the_versions_tested_are_those_that_are_installed_with_the_platform(library: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"{library}{ADAPTERS[library][0].VERSIONS}" in declared


@pytest.mark.parametrize("library", ADAPTERS)
def test_private_parts_stand_in_one_module_in_imports_and_in_commands(library: str) -> None:
    adapter, private = ADAPTERS[library]
    assert holding(private) == {Path(str(adapter.__file__))}


def test_private_parts_of_no_other_library_are_imported() -> None:
    imported = r"(?m)^\s*(?:from|import)\s+(?:_(?!_future__)|\w[\w.]*\._|(?!ml_platform)\w[\w.]* import _)"
    for line in ("    from library.part._inner import name", "import _library", "from library.part import _name"):
        assert re.search(imported, line)
    assert holding(imported) == {Path(str(adapter.__file__)) for adapter, _ in ADAPTERS.values()}


def test_a_version_that_was_tested_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "somelib", "1.2.9")
    with internals_of("somelib", "~=1.2.3"):
        pass


@pytest.mark.parametrize("version", ["1.3.0", "1.2.1", "2.0.0rc1"])
def test_another_version_is_told_before_anything_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "somelib", version)
    with pytest.raises(PlatformError) as told, internals_of("somelib", "~=1.2.3"):
        raise AssertionError("the block began")
    assert str(told.value) == (
        f"somelib {version} is installed; the platform uses private parts of it and was tested with "
        "somelib~=1.2.3: install that"
    )


def test_a_part_that_is_gone_is_told_with_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "somelib", "1.2.9")
    (tmp_path / "somelib.py").write_text("")
    lacking = pytest.raises(
        PlatformError, match=r"^somelib 1\.2\.9 lacks a part \(cannot import name '_gone' from .*~=1"
    )
    with lacking, internals_of("somelib", "~=1.2.3"):
        from somelib import _gone  # pyright: ignore # noqa: F401


def test_a_service_is_not_started_with_another_bentoml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "bentoml", "1.5.0")
    with pytest.raises(PlatformError, match=r"^bentoml 1\.5\.0 is installed; .*bentoml~=1\.4\.39: install that$"):
        bentoml_internals.worker(tmp_path, 3, keep_alive=60, grace=5)


def test_a_command_tells_of_another_dagster_in_one_line(tmp_path: Path) -> None:
    install(tmp_path, "dagster", "1.14.0")
    done = subprocess.run(
        [sys.executable, "-c", "from ml_platform.cli import app; app()", "run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "DAGSTER_HOME": str(ROOT), "ML_PLATFORM_LOCAL": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.strip().splitlines() == [
        "ml-platform: dagster 1.14.0 is installed; the platform uses private parts of it and was tested with "
        "dagster~=1.13.27: install that"
    ]
