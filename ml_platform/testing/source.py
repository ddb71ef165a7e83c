"""What every source has to do. Subclass it and give it one that offers something."""

from collections.abc import Callable

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.sources.source import Source
from ml_platform.testing.attributes import others


class SourceContract:
    """Needs a fixture ``source`` that offers one partition or more."""

    @pytest.fixture
    def source(self) -> Source:
        """The source."""
        raise NotImplementedError("give the contract a fixture `source`")

    @pytest.fixture
    def change(self) -> Callable[[], str] | None:
        """What changes the content of one partition at its origin, and returns its name; None: it cannot be changed."""
        return None

    def test_changed_content_has_another_fingerprint(self, source: Source, change: Callable[[], str] | None) -> None:
        """And other partitions keep theirs."""
        if change is None:
            pytest.skip("give the contract a fixture `change`")
        before = source.partitions()
        changed = change()
        assert {name for name, mark in source.partitions().items() if before.get(name) != mark} == {changed}

    def test_what_is_there_has_a_fingerprint_that_stays(self, source: Source) -> None:
        """As long as the content does."""
        offered = source.partitions()
        assert offered, "partitions() gave none; give the contract a source that offers one or more"
        texts = [one for pair in offered.items() for one in pair]
        assert others(texts, str) == [] and "" not in texts, "partitions() gives texts: name to fingerprint"
        assert source.partitions() == offered

    def test_a_partition_has_equal_rows_in_equal_order_each_time(self, source: Source) -> None:
        """With columns."""
        for partition in source.partitions():
            frame = source.read(partition)
            assert isinstance(frame, pl.DataFrame) and frame.width
            assert_frame_equal(source.read(partition), frame)
