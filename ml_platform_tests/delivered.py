"""A source whose deliveries a test exchanges."""

import polars as pl


class Delivered:
    """What a source delivers now, by partition; the fingerprint follows the rows."""

    def __init__(self) -> None:
        self.frames: dict[str, pl.DataFrame] = {}

    def partitions(self) -> dict[str, str]:
        return {partition: str(frame.hash_rows().sum()) for partition, frame in self.frames.items()}

    def read(self, partition: str) -> pl.DataFrame:
        return self.frames[partition]
