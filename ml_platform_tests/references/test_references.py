"""Both places for references keep the contract; files become rows once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.references.database import FORMAT, DatabaseReferences
from ml_platform.references.factory import open_references
from ml_platform.references.files import FileReferences
from ml_platform.references.references import References
from ml_platform.testing.references import ASSET, FEBRUARY, JANUARY, ReferencesContract, batch, deployment


class TestFiles(ReferencesContract):
    """Files in a folder."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[], References]:
        """Opens the folder."""
        return lambda: FileReferences(tmp_path / "refs")


class TestSqlite(ReferencesContract):
    """A table in SQLite."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[], References]:
        """Opens the database."""
        return lambda: DatabaseReferences(f"sqlite:///{tmp_path / 'refs.db'}")


class TestPostgres(ReferencesContract):
    """A table in PostgreSQL."""

    @pytest.fixture
    def opened(self, postgres_url: str) -> Callable[[], References]:
        """Opens the database."""
        return lambda: DatabaseReferences(postgres_url)


@pytest.fixture
def files(tmp_path: Path) -> FileReferences:
    """A folder as an installation on one machine left it: two runs, something forgotten, something unpartitioned."""
    kept = FileReferences(tmp_path / "refs")
    kept.save(ASSET, JANUARY, batch("one"))
    kept.save(ASSET, JANUARY, batch("two", content="2"))
    kept.save(ASSET, FEBRUARY, batch("one", FEBRUARY))
    kept.forget(ASSET, FEBRUARY)
    kept.save("m/deployment", "", deployment("one"))
    return kept


def test_files_are_taken_over_once(tmp_path: Path, files: FileReferences) -> None:
    url = f"sqlite:///{tmp_path / 'refs.db'}"
    taken = DatabaseReferences(url, files.root)
    assert taken.all(ASSET) == {JANUARY: batch("two", content="2")}
    assert taken.load(ASSET, JANUARY, "one") == batch("one")
    assert taken.load("m/deployment") == deployment("one")
    assert taken.of_run(ASSET, FEBRUARY, "one")
    taken.forget(ASSET, JANUARY)
    files.save(ASSET, "2024-03-01", batch("three", "2024-03-01"))
    assert DatabaseReferences(url, files.root).partitions(ASSET) == [], "files are no fallback"


def test_a_damaged_file_stops_the_take_over_and_leaves_nothing_half_done(tmp_path: Path, files: FileReferences) -> None:
    url, damaged = f"sqlite:///{tmp_path / 'refs.db'}", files.root / ASSET / JANUARY / "one.json"
    text = damaged.read_text()
    damaged.write_text("{}")
    with pytest.raises(PlatformError, match=r"^shop/batch/2024-01-01/one\.json holds no reference .*remove it"):
        DatabaseReferences(url, files.root)
    damaged.write_text(text)
    assert DatabaseReferences(url, files.root).load(ASSET, JANUARY, "one") == batch("one")


def test_a_table_of_a_later_release_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'refs.db'}"
    DatabaseReferences(url)
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql(f"UPDATE ml_platform_formats SET number = {FORMAT + 1}")
    with pytest.raises(PlatformError, match=f"stored in format {FORMAT + 1}, this release reads up to {FORMAT}"):
        DatabaseReferences(url)


def test_they_stand_beside_a_ledger_that_several_machines_share(
    tmp_path: Path, files: FileReferences, postgres_url: str
) -> None:
    local = open_references(Settings(local=tmp_path))
    assert isinstance(local, FileReferences) and local.load("m/deployment") == deployment("one")
    shared = open_references(Settings(local=tmp_path, ledger_url=SecretStr(postgres_url)))
    assert shared.load("m/deployment") == deployment("one")
    shared.forget("m/deployment", "")
    with pytest.raises(MissingReference):
        open_references(Settings(local=tmp_path, ledger_url=SecretStr(postgres_url))).load("m/deployment")
