"""What the system refuses is one line with the file and the way out; a defect keeps its traceback."""

import errno
import os
from pathlib import Path

import pytest

from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.raised import explained


@pytest.mark.parametrize(
    ("number", "way_out"),
    [(errno.ENOSPC, "make room and start it again"), (errno.EROFS, "see that this user may write")],
)
def test_a_disk_that_takes_nothing_more(
    number: int, way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("before")

    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "file"))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as raised:
        write_atomic(tmp_path / "file", "after")
    told = explained(raised.value)
    assert told is not None and len(str(told).splitlines()) == 1
    assert str(told).startswith(f"{tmp_path / 'file'}: {os.strerror(number).lower()}; {way_out}")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"], "nothing is half written or left behind"


def test_any_other_error_of_a_file_is_a_defect() -> None:
    assert explained(FileNotFoundError(errno.ENOENT, "no such file", "x")) is None
