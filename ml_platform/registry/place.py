"""The local MLflow follows its folder: its database names every artifact folder by an absolute address."""

import contextlib
import sqlite3
from pathlib import Path

#: Columns of MLflow's tables that hold the address of a folder of artifacts.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def follow(database: Path, root: Path) -> bool:
    """Let a database that was moved or copied together with its artifacts name those at ``root``; whether it did not.

    ``root`` is the folder ``artifacts`` beside the database. What others have put elsewhere keeps its address. All
    addresses change in one transaction. Raises sqlite3.Error.
    """
    here, name = root.as_uri(), f"/{root.parent.name}/{root.name}"
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        found = [row[0] for row in connection.execute("SELECT artifact_location FROM experiments")]
        # Where the folder was: everything before its last two names, which are the same wherever it lies.
        before = {
            address[: address.rindex(f"{name}/")] + name
            for address in found
            if address and address.startswith("file://") and f"{name}/" in address
        } - {here}
        if not before:
            return False
        connection.execute("BEGIN IMMEDIATE")
        for old in before:
            for table, column in _ADDRESSES:
                if connection.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column)).fetchone():
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (here, len(old) + 1, len(old) + 1, f"{old}/"),
                    )
        connection.execute("COMMIT")
    return True
