"""What every source has to do. Subclass it and give it one that offers something."""

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import cloudpickle
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import shown
from ml_platform.foundation.raised import raised
from ml_platform.sources.partitions import Partitions
from ml_platform.sources.source import Source
from ml_platform.testing.attributes import others, told_of
from ml_platform.testing.elsewhere import ZONES, elsewhere, in_zone

_UNKNOWN = 3
_ASKED = f"""
import pickle, sys
from pathlib import Path
try:
    source = pickle.load(sys.stdin.buffer)
except Exception:
    sys.exit({_UNKNOWN})
offered = source.partitions()
told = pickle.dumps((offered, {{name: source.read(name) for name in offered}}))
Path(sys.argv[1]).write_bytes(told)
"""


class SourceContract:
    """Needs a fixture ``source`` that offers one partition or more, one of them of two rows or more."""

    #: ``partitions`` of its dataset, as declared: ``{"every": "month", "start": "2024-01-01"}``; None: keys are not
    #: looked at.
    partitions: ClassVar[Any] = None
    #: Column that says when a row is from, as ``time`` of its dataset, by which it belongs to a partition; empty: it is
    #: not looked at.
    time: ClassVar[str] = ""

    def test_another_process_is_told_the_same(self, source: Source) -> None:
        """As the next run is one: nothing may depend on Python's `hash()`, which each process seeds anew, nor on the
        time zone of the machine."""
        try:
            pickled = cloudpickle.dumps(source)
        except Exception as error:
            pytest.skip(
                f"the source cannot be given to another process ({raised(error)}); let its class lie in a module"
            )
        offered = source.partitions()
        for seed, zone in zip(("1", "2"), ZONES, strict=True):
            with TemporaryDirectory() as folder:
                file = Path(folder) / "told"
                done = elsewhere(_ASKED, pickled, str(file), seed=seed, zone=zone)
                if done.returncode == _UNKNOWN:
                    pytest.skip("another process cannot import the class of the source; let it lie in a module")
                assert done.returncode == 0, done.stderr.decode().strip().splitlines()[-1]
                told, frames = pickle.loads(file.read_bytes())
            assert told == offered, "another process was told other fingerprints of the same content"
            for partition, frame in frames.items():
                assert_frame_equal(frame, source.read(partition))

    def test_a_day_is_the_same_whatever_the_time_zone_of_the_machine(self, source: Source) -> None:
        """Partitions and their rows are those of the data: a server in another country offers no others."""
        offered = source.partitions()
        rows = {name: source.read(name) for name in offered}
        for zone in ZONES:
            with in_zone(zone):
                assert source.partitions() == offered, f"with TZ={zone} `partitions` offers others"
                for name, frame in rows.items():
                    assert source.read(name).equals(frame), f"with TZ={zone} `read` gives other rows of {name}"

    @pytest.fixture
    def damage(self) -> Callable[[], str] | None:
        """What makes a part of a partition unreadable at its origin, and returns the name of the partition; None: what
        there is can always be read."""
        return None

    def test_a_part_that_cannot_be_read_is_not_left_out(self, source: Source, damage: Callable[[], str] | None) -> None:
        """But told as a PlatformError of one line: the rest of the rows is not the partition."""
        if damage is None:
            pytest.skip("give the contract a fixture `damage`, where a partition lies in files or other parts")
        offered = {*source.partitions()}
        spoilt = damage()
        assert spoilt in offered, f"`damage` names {spoilt!r}, which was not offered"
        with pytest.raises(PlatformError) as told:
            gone = offered - {*source.partitions()}
            assert not gone, f"{', '.join(gone)} is no longer offered, as if it had been taken away"
            source.read(spoilt)
        assert "\n" not in str(told.value), "the message is one line"

    @pytest.fixture
    def source(self) -> Source:
        """The source."""
        raise NotImplementedError("give the contract a fixture `source`")

    @pytest.fixture
    def change(self) -> "Callable[[], str] | Sequence[Callable[[], str]] | None":
        """What changes the content of one partition at its origin, and returns its name; None: it cannot be changed.

        Or several of them: a value of each column, two values that change places, a row more.
        """
        return None

    def test_changed_content_has_another_fingerprint(
        self, source: Source, change: "Callable[[], str] | Sequence[Callable[[], str]] | None"
    ) -> None:
        """And other rows; other partitions keep both."""
        if change is None:
            pytest.skip("give the contract a fixture `change`")
        for one in [change] if callable(change) else change:
            self.require_told(source, one)

    def require_told(self, source: Source, change: Callable[[], str]) -> None:
        """A change is seen by the fingerprint of its partition, and by its rows."""
        before = source.partitions()
        rows = {name: source.read(name) for name in before}
        changed = change()
        after = source.partitions()
        told = {name for name, mark in after.items() if before.get(name) != mark}
        assert told == {changed}, f"{changed} changed, and other fingerprints have {', '.join(sorted(told)) or 'none'}"
        same = {name for name in after if name in rows and source.read(name).equals(rows[name])}
        assert changed not in same, f"`read` gives the rows of {changed} from before its change"
        assert same == {*after} - {changed}, "`read` gives other rows of partitions that did not change"

    @pytest.fixture
    def refuse(self) -> Callable[[], str] | None:
        """What makes the origin refuse the source's credentials, and returns the secret in them; None: it has none."""
        return None

    def test_refused_credentials_are_told_without_the_secret(
        self, source: Source, refuse: Callable[[], str] | None
    ) -> None:
        """As a PlatformError of one line: what is refused is no empty place, and messages are kept."""
        if refuse is None:
            pytest.skip("give the contract a fixture `refuse`, where the source has credentials")
        offered = [*source.partitions()]
        secret = refuse()
        for ask in (source.partitions, partial(source.read, offered[0])):
            with pytest.raises(PlatformError) as told:
                ask()
            said = str(told.value)
            assert secret not in said and "\n" not in said, "the message is one line without the secret"
            behind = [one for one in told_of(told.value) if secret in one]
            assert not behind, "the error that is the reason names the secret; raise it `from None`"
        assert secret not in repr(source), "`repr` of the source shows the secret"

    @pytest.fixture
    def unreachable(self) -> Callable[[], object] | None:
        """What makes the origin one that cannot be reached; None: it always can."""
        return None

    def test_what_cannot_be_reached_is_no_empty_place(
        self, source: Source, unreachable: Callable[[], object] | None
    ) -> None:
        """But a PlatformError of one line: `{}` would mean that everything was taken away."""
        if unreachable is None:
            pytest.skip("give the contract a fixture `unreachable`, where the origin may be out of reach")
        offered = [*source.partitions()]
        unreachable()
        for ask in (source.partitions, partial(source.read, offered[0])):
            with pytest.raises(PlatformError) as told:
                ask()
            assert "\n" not in str(told.value), "the message is one line"

    def test_a_partition_that_is_not_offered_is_an_error(self, source: Source) -> None:
        """Not a frame without rows: it may be gone since it was offered, and would be published as empty."""
        for never in ("2999" + max(source.partitions())[4:], "no such partition"):
            try:
                found = source.read(never)
            except Exception:
                continue
            raise AssertionError(f"read({never!r}), which is not offered, gave {shown(found)}; raise an error")

    def test_rows_lie_in_their_partition(self, source: Source) -> None:
        """Each in the one that its time belongs to, and so in one only."""
        if not self.time or self.partitions is None:
            pytest.skip("give the contract `time`, the column that says when a row is from, and `partitions`")
        declared = Partitions.model_validate(self.partitions)
        for key in source.partitions():
            start, end = declared.window(key)
            times = _times(source.read(key)[self.time], hourly=declared.hourly)
            outside = times.filter(~((times >= start) & (times < end)))
            assert not len(outside), f"{key} has {len(outside)} rows of another time, such as {outside[0]}"

    def test_what_is_there_has_a_fingerprint_that_stays(self, source: Source) -> None:
        """As long as the content does."""
        offered = source.partitions()
        assert offered, "partitions() gave none; give the contract a source that offers one or more"
        texts = [one for pair in offered.items() for one in pair]
        assert others(texts, str) == [] and "" not in texts, "partitions() gives texts: name to fingerprint"
        assert source.partitions() == offered

    def test_partitions_are_named_as_they_are_declared(self, source: Source) -> None:
        """By their first day, of months too; of hours in UTC."""
        if self.partitions is None:
            pytest.skip("give the contract `partitions`, as the dataset declares them")
        declared = Partitions.model_validate(self.partitions)
        for key in source.partitions():
            declared.window(key)

    def test_a_partition_has_equal_rows_in_equal_order_each_time(self, source: Source) -> None:
        """With columns."""
        rows = 0
        for partition in source.partitions():
            frame = source.read(partition)
            assert isinstance(frame, pl.DataFrame) and frame.width
            assert_frame_equal(source.read(partition), frame)
            rows = max(rows, frame.height)
        assert rows > 1, "no partition has two rows, so that nothing is said of their order; give the contract more"


def _times(values: pl.Series, *, hourly: bool) -> pl.Series:
    """Times of rows as bounds of partitions are: days, in the time zone of the column, or datetimes in UTC."""
    if values.dtype == pl.String:
        values = values.str.to_datetime() if hourly else values.str.slice(0, 10).str.to_date()
    if not hourly:
        return values if values.dtype == pl.Date else values.dt.date()
    zoned = isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone
    return values.dt.convert_time_zone("UTC") if zoned else values.dt.replace_time_zone("UTC")
