"""Moving what a loop keeps: references, rollout records and MLflow name other parts of it by absolute path."""

import contextlib
import sqlite3
from pathlib import Path


def moved(root: Path, old: str, new: str) -> None:
    """Rewrite every path below ``root`` that begins with ``old``: in SQLite databases, JSON and other text.

    No process may have a database there open. Compressed or hashed content is not touched; :func:`left_behind` finds
    what still names the old place.
    """
    for database in databases(root):
        if database.with_name(f"{database.name}-wal").exists():
            settled(database)
    for file in left_behind(root, old):
        if _is_database(file):
            _rewrite_database(file, old, new)
        elif b"\0" not in (content := file.read_bytes()):
            file.write_bytes(content.replace(old.encode(), new.encode()))


def left_behind(root: Path, old: str) -> list[Path]:
    """Files below ``root`` that name ``old``."""
    needle = old.encode()
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path for path in files if needle in path.read_bytes()]


def _is_database(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def settled(database: Path) -> None:
    """Fold what is still in the log of a SQLite database into its one file, without free pages."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")


def _rewrite_database(file: Path, old: str, new: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for column in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
                connection.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                    f'WHERE typeof("{column}") = \'text\' AND instr("{column}", ?)',
                    (old, new, old),
                )
        connection.commit()
    settled(file)  # a page that is free now may still hold the old text


def databases(root: Path) -> list[Path]:
    """SQLite databases below ``root``."""
    return [path for path in sorted(root.rglob("*.db")) if path.is_file() and _is_database(path)]
