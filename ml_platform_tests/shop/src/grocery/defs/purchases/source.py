"""Where purchases come from: the files that the tills leave in a folder, one a month."""

import os
from pathlib import Path

import polars as pl

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_file

#: Environment variable with the folder; without it, ``incoming`` in the folder of the project.
FOLDER = "GROCERY_FOLDER"


class Tills:
    """Files ``<first day of the month>.parquet``."""

    def partitions(self) -> dict[str, str]:
        """Partition to the sha256 of its file."""
        return {path.stem: sha256_file(path) for path in sorted(_folder().glob("*.parquet"))}

    def read(self, partition: str) -> pl.DataFrame:
        """The rows of a month in the order of the file. Raises PlatformError where there is none."""
        file = _folder() / f"{partition}.parquet"
        if not file.exists():
            raise PlatformError(f"purchases: there is no file for {partition} in {file.parent}; let the tills send it")
        return pl.read_parquet(file)


def _folder() -> Path:
    return Path(os.environ.get(FOLDER) or Path(__file__).resolve().parents[4] / "incoming")


source = Tills()
