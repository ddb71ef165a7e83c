"""What a result was computed with."""

import subprocess
from pathlib import Path

import pytest

from ml_platform.foundation import provenance as environment
from ml_platform.foundation.settings import get_settings


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder as somebody; returns what it says."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a Git work tree, with a package below ``src``."""
    (tmp_path / "src" / "shop" / "defs").mkdir(parents=True)
    (tmp_path / "src" / "shop" / "features.py").write_text("x = 1\n")
    (tmp_path / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "shop"\n')
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_commit_dirt_and_lock(project: Path) -> None:
    environment.current.cache_clear()
    clean = environment.current(project)
    assert clean.code_commit == git(project, "rev-parse", "HEAD").strip() and not clean.dirty
    environment.current.cache_clear()
    (project / "src" / "shop" / "features.py").write_text("x = 2\n")
    (project / "requirements.lock").write_text("numpy==2\n")
    changed = environment.current(project)
    assert changed.dirty and changed.code_commit == clean.code_commit
    assert changed.lock_sha256 != clean.lock_sha256


def test_the_commit_is_that_of_the_project_not_of_dagsters_home(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's home may be anywhere, with only its own files; the code that ran is the project's."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.chdir(project / "src")
    environment.current.cache_clear()
    try:
        assert environment.current().code_commit == git(project, "rev-parse", "HEAD").strip()
    finally:
        environment.current.cache_clear()


def test_what_runs_write_is_no_change_of_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_PLATFORM_LOCAL", str(project / ".local"))
    get_settings.cache_clear()
    (project / ".local").mkdir()
    (project / ".local" / "ledger.db").write_text("x")
    environment.current.cache_clear()
    assert not environment.current(project).dirty
    (project / "src" / "new.py").touch()
    environment.current.cache_clear()
    assert environment.current(project).dirty
    get_settings.cache_clear()


def test_what_a_commit_waits_for(tmp_path: Path) -> None:
    (outside := tmp_path / "outside").mkdir()
    assert environment.without_commit(outside).startswith("the project is outside a Git work tree; run git init")
    (begun := tmp_path / "begun").mkdir()
    subprocess.run(["git", "init", "-q", str(begun)], check=True)
    assert environment.without_commit(begun) == "the project has none yet; run git add -A, git commit"


def test_the_platforms_code_is_another_after_any_edit_but_of_the_example(tmp_path: Path) -> None:
    for name in ("rollout/supervisor.py", "defs/flights/source.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("one = 1\n")
    code = environment.platform_code(tmp_path)
    (tmp_path / "defs" / "flights" / "source.py").write_text("two = 2\n")
    assert environment.platform_code(tmp_path) == code
    (tmp_path / "rollout" / "supervisor.py").write_text("two = 2\n")
    assert environment.platform_code(tmp_path) != code
    assert environment.platform_code() not in (code, environment.platform_code(tmp_path))
