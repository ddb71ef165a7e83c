"""What every source has to do. Subclass it and give it one that offers something."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.sources.source import Source


class SourceContract:
    """Needs a fixture ``source`` that offers one partition or more."""

    @pytest.fixture
    def source(self) -> Source:
        """The source."""
        raise NotImplementedError("give the contract a fixture `source`")

    def test_what_is_there_has_a_fingerprint_that_stays(self, source: Source) -> None:
        """As long as the content does."""
        offered = source.partitions()
        assert offered and all(isinstance(one, str) and one for pair in offered.items() for one in pair)
        assert source.partitions() == offered

    def test_a_partition_has_equal_rows_in_equal_order_each_time(self, source: Source) -> None:
        """With columns."""
        for partition in source.partitions():
            frame = source.read(partition)
            assert isinstance(frame, pl.DataFrame) and frame.width
            assert_frame_equal(source.read(partition), frame)
