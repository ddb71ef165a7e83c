"""The clock: a time in a file moves while things run; a file without one is named in a line."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_platform.foundation.clock import clock
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings


def test_a_time_in_a_file_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    file = tmp_path / "clock"
    now = clock(Settings(now="@clock"))
    for text, moment in (
        ("2013-05-01", datetime(2013, 5, 1, tzinfo=UTC)),
        ("2013-06-01T02:00:00+02:00\n", datetime(2013, 6, 1, tzinfo=UTC)),
    ):
        file.write_text(text)
        assert now() == moment


@pytest.mark.parametrize(("text", "said"), [("June", "holds 'June', no ISO time"), ("", "holds '', no ISO time")])
def test_a_file_without_a_time(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "clock"
    file.write_text(text)
    with pytest.raises(PlatformError, match=said):
        clock(Settings(now=f"@{file}"))()
    file.unlink()
    with pytest.raises(PlatformError, match="cannot be read: No such file"):
        clock(Settings(now=f"@{file}"))()


def test_without_a_setting_it_is_wall_time() -> None:
    assert abs(clock(Settings(now=""))() - datetime.now(UTC)) < timedelta(minutes=1)
