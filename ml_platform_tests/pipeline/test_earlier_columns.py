"""Columns of earlier batches are read once, and no more of them is kept than is allowed."""

from pathlib import Path

import polars as pl
import pytest

from ml_platform.datasets import batches
from ml_platform.datasets.embedded.store import EmbeddedStore
from ml_platform.datasets.publishing import stage
from ml_platform.datasets.store import ObjectInfo
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance
from ml_platform.pipeline.earlier_columns import EarlierColumns

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, 2.5]})


class Counting(EmbeddedStore):
    """Counts the files that are opened."""

    opened = 0

    def local_path(self, ref: str, path: str) -> Path:
        self.opened += 1
        return super().local_path(ref, path)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path, "test")


def staged(store: Counting, partition: str, frame: pl.DataFrame) -> tuple[str, ObjectInfo]:
    here = Provenance(code_commit="c" * 40, dirty=False, lock_sha256="d" * 64, python="3.11.7")
    stage(store, "shop", partition, frame, run_id="run", provenance=here)
    return batches.newest(store, "shop")[partition]


def test_a_column_is_read_once_and_other_content_again(store: Counting) -> None:
    earlier = EarlierColumns(store)
    found = staged(store, "one", FRAME)
    assert earlier.read(*found, ["b", "a"]).equals(FRAME.select("b", "a"))
    assert earlier.read(*found, ["a"]).equals(FRAME.select("a"))
    assert store.opened == 1
    assert earlier.read(*found, ["a", "c"]).equals(FRAME.select("a", "c"))
    assert store.opened == 2
    other = staged(store, "two", FRAME.reverse())
    assert earlier.read(*other, ["a", "c"]).equals(FRAME.reverse().select("a", "c"))
    with pytest.raises(PlatformError, match="has no column d"):
        earlier.read(*found, ["a", "d"])


def test_what_was_not_asked_for_longest_goes_first(store: Counting) -> None:
    found = staged(store, "one", FRAME)
    earlier = EarlierColumns(store, kept=int(FRAME.select("a", "c").estimated_size()))
    for columns in (["a"], ["c"], ["a"], ["b"]):
        earlier.read(*found, columns)
    assert store.opened == 3
    earlier.read(*found, ["a"])
    assert store.opened == 3
    earlier.read(*found, ["c"])
    assert store.opened == 4


def test_a_batch_that_was_judged_is_not_read_again_as_an_earlier_one(store: Counting) -> None:
    found = staged(store, "one", FRAME)
    earlier = EarlierColumns(store)
    assert earlier.keep(found[1].sha256, FRAME) is FRAME
    assert earlier.held == FRAME.estimated_size()
    assert earlier.read(*found, ["c", "a"]).equals(FRAME.select("c", "a"))
    assert store.opened == 0 and earlier.held == FRAME.estimated_size()
