"""Staging and publishing as the tests of this folder do it."""

import polars as pl

from ml_platform.datasets.publishing import publish, stage
from ml_platform.datasets.store import VersionedStore
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import DatasetRef


class Flow:
    """Stage and publish with the arguments that the tests do not vary."""

    def __init__(self, store: VersionedStore, provenance: Provenance) -> None:
        self.store, self.provenance = store, provenance

    def stage(self, frame: pl.DataFrame, partition: str = "2013-01", run_id: str = "r1") -> DatasetRef:
        return stage(self.store, "flights", partition, frame, run_id=run_id, provenance=self.provenance)

    def publish(self, ref: DatasetRef, run_id: str = "r1") -> DatasetRef:
        return publish(self.store, ref, run_id=run_id, ledger_head="h1", provenance=self.provenance)
