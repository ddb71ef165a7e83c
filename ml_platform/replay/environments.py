"""The packages that a model was trained with, installed again from the lock file of its commit.

An environment is made once per lock and Python version, below ``local``, and used again by every later replay. As in
the Makefile, uv installs where it is there and can reach what pip reaches, and pip where not; both check every hash.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file, sync_folder
from ml_platform.foundation.inherited import inherited
from ml_platform.foundation.locks import locked
from ml_platform.foundation.project import code_root
from ml_platform.foundation.provenance import LOCK, Provenance, pinned

#: Longest time of one installation, seconds.
TIMEOUT = 3600.0
#: What a refusal says last.
PRESENT = "--environment present takes what is installed here"
#: Where packages come from, and by which way: indexes and proxies, with their keys.
INSTALLERS = (
    *("UV_", "PIP_", "KEYRING_", "NETRC"),
    *(name for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (proxy, proxy.upper())),
)
_PROBE = "import platform, venv; print(platform.python_version())"


class Interpreter(NamedTuple):
    """A Python that can make virtual environments."""

    path: Path
    version: str


def installed_otherwise() -> list[str]:
    """Packages that are installed here in another version than the lock file pins, as ``name VERSION, not PINNED``.

    Those of the lock that are not installed are none of them: what needs one fails by itself. Where there is no lock
    file there are none: then the recorded hash is that of the installed versions.
    """
    from importlib.metadata import PackageNotFoundError, version

    lock = code_root() / LOCK
    found = []
    for pin, _ in pinned(lock.read_text() if lock.is_file() else ""):
        try:
            here = version(pin.name)
        except PackageNotFoundError:
            continue
        applies = pin.marker is None or pin.marker.evaluate()
        if applies and not pin.specifier.contains(here, prereleases=True):
            found.append(f"{pin.name} {here}, not {str(pin.specifier).removeprefix('==')}")
    return found


def otherwise(packages: list[str]) -> str:
    """The sentence about :func:`installed_otherwise`."""
    more = f" and {len(packages) - 3} more" if len(packages) > 3 else ""
    return f"what is installed here is not what the lock file says: {'; '.join(packages[:3])}{more}"


def recorded(then: Provenance, here: Provenance, code: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """Interpreter of the environment that ``then`` records: this one where it is equal, else one made for it.

    ``code`` is the root of the project at the recorded commit, ``folder`` holds the environments. Raises
    PlatformError where the commit has no such lock file, its Python version is not here, or installing fails.
    """
    python = interpreter(then.python)
    if python.version != then.python:
        say(f"Python {then.python} is not here; {python.version} is taken for it")
    if (then.lock_sha256, python.version) == (here.lock_sha256, here.python):
        other = installed_otherwise()
        if not other:
            return Path(sys.executable)
        say(otherwise(other))
    lock = code / LOCK
    held = sha256_file(lock)[:12] if lock.is_file() else None
    if held is None or not then.lock_sha256.startswith(held):
        raise PlatformError(
            f"lock {then.lock_sha256[:12]}, which was recorded, is not at commit {then.code_commit[:12]} "
            f"({f'its {LOCK} is {held}' if held else f'it has no {LOCK}'}), so it cannot be installed; {PRESENT}"
        )
    return install(lock, python, folder, say)


def interpreter(version: str) -> Interpreter:
    """The Python of a version: exactly it where this one or one on PATH is, else one with the same minor version.

    Raises PlatformError where there is none.
    """
    minor = ".".join(version.split(".")[:2])
    names = (f"python{minor}", "python3", "python")
    found = [Interpreter(Path(sys.executable), platform.python_version())]
    for path in dict.fromkeys(
        Path(environment).absolute() / name for name in names for environment in os.get_exec_path()
    ):
        if version in (python.version for python in found):
            break
        if os.access(path, os.X_OK) and (there := _version(path)):
            found.append(Interpreter(path, there))
    for python in found:
        if python.version == version:
            return python
    for python in found:
        if python.version.startswith(f"{minor}."):
            return python
    raise PlatformError(
        f"it was trained with Python {version} and no python{minor} with venv is on PATH; install it, or: {PRESENT}"
    )


def _version(python: Path) -> str | None:
    """Version of an interpreter; ``None`` where it does not start (a name that stands for none) or lacks venv."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _PROBE], env=inherited(), capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def install(lock: Path, python: Interpreter, folder: Path, say: Callable[[str], None]) -> Path:
    """Interpreter of a virtual environment with exactly the packages of a lock file, made where there is none.

    It is made beside its final path and renamed when it is whole, so what a killed process leaves is never used.
    Processes that want the same one wait for the first. Raises PlatformError where installing fails.
    """
    name = f"{sha256_file(lock)[:16]}-python{python.version}"
    folder = folder.resolve()
    environment = folder / name
    with locked(folder / f"{name}.lock"):
        if not _bin(environment).exists():
            # Without its interpreter (the Python that it was made from is gone) it is of no use either.
            for left in (environment, *folder.glob(f".{name}.*")):
                shutil.rmtree(left, ignore_errors=True)
            say(
                f"installing lock {sha256_file(lock)[:12]} for Python {python.version} into {environment}; "
                "it is kept, and downloads up to a gigabyte"
            )
            temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder))
            try:
                _fill(temporary, lock, python)
                # A name that survives a power cut must not outlive the files below it.
                os.sync()
                temporary.rename(environment)
                sync_folder(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return _bin(environment)


def _bin(environment: Path) -> Path:
    return environment / "bin" / "python"


def _fill(environment: Path, lock: Path, python: Interpreter) -> None:
    """Make a virtual environment and install a lock file in it."""
    inside = str(_bin(environment))
    from_lock = ["install", "--quiet", "--require-hashes", "--requirement", str(lock)]
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
    refused = _call([str(python.path), "-I", "-m", "venv", "--without-pip", str(environment)], lock)
    # An index may be configured for pip only. What is wrong with the lock itself, pip says too.
    if not refused and (uv is None or _call([uv, "pip", *from_lock, "--python", inside], lock)):
        refused = _call([inside, "-I", "-m", "ensurepip"], lock) or _call([inside, "-I", "-m", "pip", *from_lock], lock)
    if refused:
        raise PlatformError(f"lock {sha256_file(lock)[:12]} cannot be installed ({refused}); {PRESENT}")


def _call(command: list[str], lock: Path) -> str:
    """Run a command beside the lock file; returns why it failed, or nothing."""
    environment = inherited(*INSTALLERS)
    try:
        done = subprocess.run(
            command, cwd=lock.parent, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:300]
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    first = next((line for line in lines if line.lower().startswith("error")), "")
    return (first or [f"exit {done.returncode}", *lines][-1])[:300]
