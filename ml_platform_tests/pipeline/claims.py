"""What came of answers, told by people: a dataset of its own, by the request that was answered."""

import os
from pathlib import Path

import pandera.polars as pa
import polars as pl

from ml_platform.foundation.files import sha256_file

#: Environment variable with the folder of what was told.
FOLDER = "CLAIMS_FOLDER"


class Claims(pa.DataFrameModel):
    """One row per row of a request."""

    request_id: str = pa.Field()
    request_row: int = pa.Field(ge=0)
    #: When it was told.
    told: pl.Date = pa.Field()
    returned: int = pa.Field(nullable=True, isin=[0, 1], metadata={"outcome": True})

    class Config:
        """Unknown columns are an error."""

        strict = True


class Folder:
    """Serves the Parquet files of a folder."""

    def partitions(self) -> dict[str, str]:
        """Partition to fingerprint."""
        return {path.stem: sha256_file(path) for path in sorted(Path(os.environ[FOLDER]).glob("*.parquet"))}

    def read(self, partition: str) -> pl.DataFrame:
        """What was told in a month."""
        return pl.read_parquet(Path(os.environ[FOLDER]) / f"{partition}.parquet")


source = Folder()
#: Attributes of the dataset.
ATTRIBUTES = {
    "name": "claims",
    "owners": ["team:shop"],
    "source": "ml_platform_tests.pipeline.claims:source",
    "schema": "ml_platform_tests.pipeline.claims:Claims",
    "partitions": {"every": "month", "start": "2024-05-01"},
    "key": ["request_id", "request_row"],
    "time": "told",
    "gates": [
        {"gate": "schema"},
        {"gate": "duplicates", "max": 0},
        {"gate": "missing", "columns": ["returned"], "max": 0.5},
    ],
}
