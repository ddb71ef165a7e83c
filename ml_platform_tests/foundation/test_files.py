"""Files that are never seen half written, and who may read them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.foundation.files import replacing, write_atomic


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What this user says about files."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_who_may_read_a_file_is_for_the_umask_to_say(tmp_path: Path, umask: int) -> None:
    path = write_atomic(tmp_path / "defs.yaml", "type: x")
    assert mode(path) == 0o666 & ~umask
    write_atomic(path, "type: y")
    assert (mode(path), path.read_text()) == (0o666 & ~umask, "type: y")


def test_what_is_private_is_for_this_user_alone(tmp_path: Path, umask: int) -> None:
    with replacing(tmp_path / "rows", private=True) as temporary:
        assert mode(temporary) == 0o600
        temporary.write_text("who asked")
    assert mode(tmp_path / "rows") == 0o600


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
