"""A database that is away, or that nobody can mean, is told in one line without its password."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ml_platform.foundation.database import engines
from ml_platform.foundation.errors import PlatformError


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql+psycopg://me:hidden@127.0.0.1:9/ledger",  # pragma: allowlist secret
            "me:\\*\\*\\*@127.0.0.1:9/ledger does not answer",
        ),
        ("hidden", "ML_PLATFORM_LEDGER_URL"),
        ("mysql+nodriver://me:hidden@host/ledger", "install its driver"),  # pragma: allowlist secret
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(url: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said) as error, engines(url).reader.connect():
        pass
    assert "hidden" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="file/below: the folder cannot be made") as error:
        engines(f"sqlite:///{tmp_path / 'file' / 'below' / 'ledger.db'}")
    assert "ML_PLATFORM_LOCAL" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database at all, but long enough to have been one" * 10)
    with (
        pytest.raises(PlatformError, match="file is not a database"),
        engines(f"sqlite:///{tmp_path / 'ledger.db'}").writer.begin() as connection,
    ):
        connection.execute(sa.text("SELECT 1"))


def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError), engines(f"sqlite:///{tmp_path / 'a.db'}").writer.begin() as connection:
        connection.execute(sa.text("CREATE TABLE one (a INTEGER UNIQUE)"))
        connection.execute(sa.text("INSERT INTO one VALUES (1), (1)"))
