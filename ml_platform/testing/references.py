"""What everything that keeps references does: subclass :class:`ReferencesContract` and give it a fixture."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.references import References
from ml_platform.references.refs import DatasetRef, DeploymentRef, Ref
from ml_platform.testing.elsewhere import ZONES, in_zone, together

HERE = Provenance(code_commit="c" * 40, dirty=False, lock_sha256="d" * 64, python="3.11.7")
ASSET, JANUARY, FEBRUARY = "shop/batch", "2024-01-01", "2024-02-01"


def batch(run_id: str, partition: str = JANUARY, content: str = "1") -> DatasetRef:
    """A reference to a batch."""
    return DatasetRef(
        run_id=run_id,
        provenance=HERE,
        dataset="shop",
        partition=partition,
        branch="main",
        commit="c" * 40,
        path=f"datasets/shop/{partition}.parquet",
        sha256=content * 64,
        rows=3,
        inputs={"shop/2023-12-01": "2" * 64},
    )


def deployment(run_id: str) -> DeploymentRef:
    """A reference without a partition."""
    return DeploymentRef(
        run_id=run_id, provenance=HERE, model="m", version=1, sha256="3" * 64, url="http://127.0.0.1:1", record="m.json"
    )


#: More partitions than a page of a server has: those of six weeks of hours.
PARTITIONS = 1001
#: References that each of several processes saves.
EACH = 10


def save_some(opened: Callable[[], References], process: int) -> None:
    """What one of several processes does."""
    references = opened()
    for number in range(EACH):
        references.save(ASSET, JANUARY, batch(f"run-{process}-{number}", content=f"{process}"))


class ReferencesContract:
    """Needs a fixture ``opened``: a function that opens the same place each time, empty at first."""

    @pytest.fixture
    def references(self, opened: Callable[[], References]) -> References:
        """An empty place."""
        return opened()

    def test_what_was_never_saved_is_missing(self, references: References) -> None:
        """By name, with the way out."""
        with pytest.raises(MissingReference, match=f"^{ASSET}/{JANUARY} was never materialized; materialize it first$"):
            references.load(ASSET, JANUARY)
        with pytest.raises(MissingReference, match=r"^m/deployment was never"):
            references.load("m/deployment")
        assert references.partitions(ASSET) == [] and references.all(ASSET) == {}
        assert not references.of_run(ASSET, JANUARY, "one")

    @pytest.mark.parametrize(("asset", "ref"), [(ASSET, batch("one")), ("m/deployment", deployment("one"))])
    def test_it_comes_back_as_it_was(self, opened: Callable[[], References], asset: str, ref: Ref) -> None:
        """Also from another process, which opens the place anew."""
        partition = getattr(ref, "partition", "")
        opened().save(asset, partition, ref)
        assert opened().load(asset, partition) == ref
        assert opened().load(asset, partition, "one") == ref

    def test_what_could_not_be_read_again_is_not_kept(self, references: References) -> None:
        """A number that is none, for one: every later reader would fail on it."""
        broken = deployment("one").model_copy(update={"version": float("nan")})
        with (
            pytest.warns(UserWarning),
            pytest.raises(PlatformError, match=r"^DeploymentRef .* could not be read again"),
        ):
            references.save("m/deployment", "", broken)
        with pytest.raises(MissingReference):
            references.load("m/deployment")

    def test_a_run_reads_its_own_and_others_the_latest(self, references: References) -> None:
        """A run that made none reads the latest."""
        for run_id, content in (("one", "1"), ("two", "2")):
            references.save(ASSET, JANUARY, batch(run_id, content=content))
        assert references.load(ASSET, JANUARY, "one").sha256 == "1" * 64
        assert references.load(ASSET, JANUARY, "three").sha256 == references.load(ASSET, JANUARY).sha256 == "2" * 64
        assert references.of_run(ASSET, JANUARY, "one") and not references.of_run(ASSET, JANUARY, "three")

    def test_each_run_reads_its_own_of_each_partition(self, opened: Callable[[], References]) -> None:
        """A run that made several is told them apart by partition."""
        marks = {(JANUARY, "one"): "1", (FEBRUARY, "one"): "2", (JANUARY, "two"): "3", (FEBRUARY, "two"): "4"}
        for (partition, run_id), content in marks.items():
            opened().save(ASSET, partition, batch(run_id, partition, content))
        found = {key: opened().load(ASSET, *key).sha256[0] for key in marks}
        assert found == marks, "by partition and run, another reference was read than was saved"
        assert not opened().of_run(ASSET, "2024-03-01", "one"), "a run made nothing of a partition of which it is said"
        alike = [run_id for run_id in ("on", "o_e", "%", "One") if opened().of_run(ASSET, JANUARY, run_id)]
        assert alike == [], "runs whose names only look alike are said to have made it"

    def test_who_keeps_it_open_sees_what_others_save(self, opened: Callable[[], References]) -> None:
        """A supervisor or a web server lives longer than many a run: what it read once is not the last word."""
        reader, writer = opened(), opened()
        assert reader.partitions(ASSET) == []
        for run_id, content in (("one", "1"), ("two", "2")):
            writer.save(ASSET, JANUARY, batch(run_id, content=content))
            assert reader.load(ASSET, JANUARY).sha256[0] == content, "what another one saved is not seen"
            assert [ref.sha256[0] for ref in reader.all(ASSET).values()] == [content] and reader.partitions(ASSET)
            assert reader.of_run(ASSET, JANUARY, run_id)
        writer.forget(ASSET, JANUARY)
        assert reader.partitions(ASSET) == [], "what another one forgot is still there"
        with pytest.raises(MissingReference):
            reader.load(ASSET, JANUARY)

    def test_a_large_reference_of_any_letters_comes_back(self, opened: Callable[[], References]) -> None:
        """More than 100 kB of it: a split of years of hours has as much."""
        inputs = {f"Größe/日本-{number:05}": f"{number:064x}" for number in range(1200)}
        large = batch("one").model_copy(update={"inputs": inputs})
        assert len(large.model_dump_json()) > 100_000
        opened().save(ASSET, JANUARY, large)
        assert opened().load(ASSET, JANUARY, "one") == opened().load(ASSET, JANUARY) == large

    def test_names_that_look_alike_are_others(self, opened: Callable[[], References]) -> None:
        """By case, or by what stands for any letter in SQL."""
        names = (ASSET, "Shop/batch", "shop/Batch", "shop_batch", "shop%batch", "shop/batc_", "shop/%", "%")
        for number, name in enumerate(names, 1):
            opened().save(name, JANUARY, batch("one", content=f"{number:x}"))
        found = {name: opened().load(name, JANUARY, run_id).sha256[0] for name in names for run_id in ("", "one")}
        assert found == {name: f"{number:x}" for number, name in enumerate(names, 1)}
        opened().forget("shop/batc_", JANUARY)
        opened().forget("Shop/batch", JANUARY)
        gone = [name for name in names if not opened().partitions(name)]
        assert gone == ["Shop/batch", "shop/batc_"], "to forget one changed others, or left it"

    def test_the_last_saved_is_the_latest_whatever_run_made_it(self, references: References) -> None:
        """A step that is repeated replaces what its run made, and is the latest again."""
        for run_id, content in (("one", "1"), ("two", "2"), ("one", "3")):
            references.save(ASSET, JANUARY, batch(run_id, content=content))
        assert references.load(ASSET, JANUARY).sha256 == references.load(ASSET, JANUARY, "one").sha256 == "3" * 64
        assert references.load(ASSET, JANUARY, "two").sha256 == "2" * 64

    def test_partitions_are_kept_apart_and_sorted(self, references: References) -> None:
        """Another asset, one whose name only looks alike and one without partitions are not among them."""
        for partition, content in ((FEBRUARY, "2"), (JANUARY, "1")):
            references.save(ASSET, partition, batch("one", partition, content))
        references.save("shop_batch", "2024-03-01", batch("one", "2024-03-01"))
        references.save("shop/batches", "2024-03-01", batch("one", "2024-03-01"))
        references.save("m/deployment", "", deployment("one"))
        assert references.partitions(ASSET) == [JANUARY, FEBRUARY]
        found = references.all(ASSET)
        assert [(name, ref.sha256[0]) for name, ref in found.items()] == [(JANUARY, "1"), (FEBRUARY, "2")]
        assert references.partitions("m/deployment") == []

    def test_what_is_forgotten_is_no_longer_the_latest(self, opened: Callable[[], References]) -> None:
        """What a run made stays; to forget nothing is no error; a later save counts again."""
        references = opened()
        references.forget(ASSET, JANUARY)
        for partition in (JANUARY, FEBRUARY):
            references.save(ASSET, partition, batch("one", partition))
        references.forget(ASSET, JANUARY)
        for place in (references, opened()):
            assert place.partitions(ASSET) == [FEBRUARY]
            with pytest.raises(MissingReference):
                place.load(ASSET, JANUARY)
            assert place.load(ASSET, JANUARY, "one") == batch("one") and place.of_run(ASSET, JANUARY, "one")
        references.save(ASSET, JANUARY, batch("two"))
        assert references.load(ASSET, JANUARY).run_id == "two"

    def test_many_writers_leave_one_latest(self, opened: Callable[[], References]) -> None:
        """Whichever was last."""
        references = opened()

        def save(number: int) -> None:
            references.save(ASSET, JANUARY, batch(f"run-{number}", content=f"{number:x}"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(save, range(12)))
        latest = references.load(ASSET, JANUARY)
        assert latest == references.load(ASSET, JANUARY, latest.run_id)
        assert [number for number in range(12) if not references.of_run(ASSET, JANUARY, f"run-{number}")] == []
        assert list(references.all(ASSET)) == [JANUARY]

    def test_two_processes_leave_one_latest(self, opened: Callable[[], References]) -> None:
        """As two runs do, and both find what they saved."""
        opened()
        together(save_some, opened)
        references = opened()
        latest = references.load(ASSET, JANUARY)
        assert latest == references.load(ASSET, JANUARY, latest.run_id)
        assert latest.run_id in {f"run-{process}-{EACH - 1}" for process in range(2)}, "the latest was saved before"
        runs = [f"run-{process}-{number}" for process in range(2) for number in range(EACH)]
        assert [run_id for run_id in runs if not references.of_run(ASSET, JANUARY, run_id)] == []

    def test_what_was_saved_last_is_the_latest_in_whatever_time_zone(self, opened: Callable[[], References]) -> None:
        """Clocks are set back in autumn, and machines have their own zones: the order is that of the saves."""
        for content, zone in enumerate((ZONES[1], ZONES[0], ZONES[1]), 1):
            with in_zone(zone):
                opened().save(ASSET, JANUARY, batch(f"run-{content}", content=f"{content}"))
                for found in (opened().load(ASSET, JANUARY), opened().all(ASSET)[JANUARY]):
                    assert found.sha256[0] == f"{content}", "what was saved before is the latest, by the local time"

    def test_years_of_partitions_are_all_there(self, opened: Callable[[], References]) -> None:
        """More than a page of a server has."""
        names = [f"x-{number:04}" for number in range(PARTITIONS)]
        references = opened()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: references.save(ASSET, name, batch("one", name)), names))
        assert references.partitions(ASSET) == names, f"of {PARTITIONS} partitions `partitions` gives others"
        assert list(references.all(ASSET)) == names, f"of {PARTITIONS} partitions `all` gives others"
