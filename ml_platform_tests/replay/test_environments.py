"""The recorded environment: which Python runs a replay, and an installation that is whole or not there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.provenance import Provenance, current
from ml_platform.replay import environments
from ml_platform.replay.environments import Interpreter, install, installed_otherwise, interpreter, recorded

HERE = Interpreter(Path(sys.executable), ".".join(map(str, sys.version_info[:3])))
#: A lock that is installed at once: nothing but a line about itself.
EMPTY = "# version {}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Root of a project with a lock file."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    (root / "requirements.lock").write_text(EMPTY.format(1))
    monkeypatch.setenv("DAGSTER_HOME", str(root))
    monkeypatch.chdir(root)
    current.cache_clear()
    yield root
    current.cache_clear()


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The project at an earlier commit, with another lock file."""
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "requirements.lock").write_text(EMPTY.format(0))
    return tmp_path / "earlier"


def of(code: Path, **changed: str) -> Provenance:
    """What a training in ``code`` records."""
    lock = sha256_file(code / "requirements.lock")
    there = {"code_commit": "c" * 40, "dirty": False, "lock_sha256": lock, "python": HERE.version}
    return Provenance.model_validate({**there, **changed})


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_an_equal_lock_takes_the_present_python_and_installs_nothing(project: Path, tmp_path: Path) -> None:
    said: list[str] = []
    python = recorded(of(project), current(), tmp_path / "code that is not looked at", tmp_path / "new", said.append)
    assert python == Path(sys.executable) and said == [] and not (tmp_path / "new").exists()


def test_packages_in_another_version_than_the_lock_are_seen(
    project: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "polars==0.1 \\",
        "    --hash=sha256:00",
        "numpy==0.2 ; sys_platform == 'none'",
        "no-such-package==1.0",
        "pytest>=9  # a comment",
        "pydantic==0.3 ; python_version > '3' \\",
        "-e .",
    ]
    (project / "requirements.lock").write_text("\n".join(lines))
    found = installed_otherwise()
    assert [text.split()[0] for text in found] == ["polars", "pydantic"] and found[0].endswith(", not 0.1")
    current.cache_clear()
    built: list[Path] = []
    monkeypatch.setattr(environments, "install", lambda lock, *_: built.append(lock) or Path("built"))
    said: list[str] = []
    assert recorded(of(project), current(), project, tmp_path, said.append) == Path("built")
    assert built == [project / "requirements.lock"] and "polars" in said[0] and "lock file says" in said[0]


def test_a_lock_that_the_commit_does_not_have_is_refused(project: Path, earlier: Path, tmp_path: Path) -> None:
    changed = of(earlier, lock_sha256="d" * 64)
    with pytest.raises(PlatformError, match=r"lock dddddddddddd, .* not at commit cccc.*its .*lock is .*--environment"):
        recorded(changed, current(), earlier, tmp_path, print)
    (earlier / "requirements.lock").unlink()
    with pytest.raises(PlatformError, match=r"it has no requirements.lock.*--environment present"):
        recorded(changed, current(), earlier, tmp_path, print)


def test_a_python_that_is_not_here_is_refused(
    earlier: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the stand-ins of version managers do for a version that is not chosen.
    monkeypatch.setenv("PATH", str(program(tmp_path / "bin", "python3.9", "exit 127")))
    with pytest.raises(PlatformError, match=r"Python 3.9.1 and no python3.9 with venv is on PATH; install it, or"):
        recorded(of(earlier, python="3.9.1"), current(), earlier, tmp_path, print)


def test_the_exact_python_goes_before_one_of_its_minor_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path, earlier: Path
) -> None:
    first = program(tmp_path / "first", "python3.99", "echo 3.99.12")
    second = program(tmp_path / "second", "python3", "echo 3.99.1")
    monkeypatch.setenv("PATH", f"{first}{os.pathsep}{second}")
    assert interpreter("3.99.1") == Interpreter(second / "python3", "3.99.1")
    assert interpreter("3.99.2") == Interpreter(first / "python3.99", "3.99.12")
    assert interpreter(HERE.version) == HERE
    monkeypatch.setattr(environments, "install", lambda *_: Path("built"))
    said: list[str] = []
    recorded(of(earlier, python="3.99.2"), current(), earlier, tmp_path, said.append)
    assert said == ["Python 3.99.2 is not here; 3.99.12 is taken for it"]


def test_an_environment_is_made_once_and_again_when_its_python_is_gone(earlier: Path, tmp_path: Path) -> None:
    lock, folder = earlier / "requirements.lock", tmp_path / "environments"
    said: list[str] = []
    python = install(lock, HERE, folder, said.append)
    run = subprocess.run([str(python), "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    assert run.stdout.strip() == str(python.parent.parent) and len(said) == 1
    assert sha256_file(lock)[:16] in python.parent.parent.name and HERE.version in python.parent.parent.name
    assert install(lock, HERE, folder, said.append) == python and len(said) == 1
    python.unlink()
    assert install(lock, HERE, folder, said.append) == python and python.exists() and len(said) == 2
    assert left_in(folder) == [python.parent.parent.name]


def test_processes_that_want_the_same_wait_for_the_first(earlier: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ml_platform.replay.environments import *\n"
        "lock, folder, version = sys.argv[1:]\n"
        "install(Path(lock), Interpreter(Path(sys.executable), version), Path(folder), print)"
    )
    command = [sys.executable, "-c", script, str(earlier / "requirements.lock"), str(tmp_path / "new"), HERE.version]

    def run(_: int) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(3) as pool:
        assert sum("installing" in text for text in pool.map(run, range(3))) == 1
    assert len(left_in(tmp_path / "new")) == 1


def test_a_killed_installation_is_never_used(earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, folder = earlier / "requirements.lock", tmp_path / "environments"
    # Stands between the half-made environment and its end.
    started = tmp_path / "started"
    waiting = program(tmp_path / "bin", "uv", f"touch {started}; exec sleep 600")
    script = (
        "import sys; from pathlib import Path; from ml_platform.replay import environments\n"
        f"environments.shutil.which = lambda *_, **__: {str(waiting / 'uv')!r}\n"
        f"python = environments.Interpreter(Path(sys.executable), {HERE.version!r})\n"
        f"environments.install(Path({str(lock)!r}), python, Path({str(folder)!r}), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (half,) = left_in(folder)
    assert half.startswith(".") and (folder / half / "bin" / "python").exists()
    said: list[str] = []
    python = install(lock, HERE, folder, said.append)
    assert len(said) == 1 and left_in(folder) == [python.parent.parent.name]


@pytest.mark.slow
def test_what_cannot_be_installed_is_one_line_and_leaves_nothing(
    project: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (earlier / "requirements.lock").write_text("polars === nonsense ===\n")
    folder = tmp_path / "environments"
    with pytest.raises(PlatformError, match=r"^lock \w{12} cannot be installed \(.*--environment present") as error:
        recorded(of(earlier), current(), earlier, folder, print)
    assert "\n" not in str(error.value) and left_in(folder) == []


@pytest.mark.slow
def test_where_uv_fails_pip_installs(earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    failing = program(tmp_path / "bin", "uv", f"touch {asked}; exit 2")
    monkeypatch.setattr(environments.shutil, "which", lambda *_, **__: str(failing / "uv"))
    assert install(earlier / "requirements.lock", HERE, tmp_path / "new", print).exists() and asked.exists()
