"""``ml-platform run --dataset --model``: what belongs to a name, and nothing else."""

from types import SimpleNamespace
from typing import Any

import pytest

from ml_platform.cli.run import _ranges
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.settings import get_settings
from ml_platform.orchestration.runs import RANGE_END, RANGE_START
from ml_platform.pipeline.workspace import Workspace
from ml_platform.sources.partitions import Partitions
from ml_platform_tests.shop_project import DATASET, MODEL, declared


@pytest.fixture
def two() -> Catalogue:
    """The shop with two models, and another dataset with one."""
    shop = declared(models={MODEL: {}, "again": {}})
    dataset, features = shop.dataset(DATASET), shop.feature_set(f"{DATASET}/features")
    other: list[Any] = [
        dataset.model_copy(update={"name": "other"}),
        FeatureSpec.model_validate({"dataset": "other", "function": features.function}),
        ModelSpec.model_validate({**shop.model(MODEL).model_dump(), "name": "third", "features": "other/features"}),
    ]
    return Catalogue.of([*shop.all, *other])


def test_a_dataset_brings_its_models_and_a_model_its_dataset(two: Catalogue) -> None:
    assert two.limited() is two
    assert [*two.limited([DATASET]).models] == [MODEL, "again"]
    one = two.limited([], [MODEL])
    assert ([*one.datasets], [*one.features], [*one.models]) == ([DATASET], [f"{DATASET}/features"], [MODEL])
    both = two.limited(["other"], [MODEL])
    assert ({*both.datasets}, {*both.models}) == ({DATASET, "other"}, {MODEL, "third"})
    with pytest.raises(DeclarationError, match=r"model: there is no 'agian'; declared: .*; did you mean 'again'\?"):
        two.limited([], ["agian"])


def test_the_range_is_that_of_the_chosen_sources(two: Catalogue, _own_local: None) -> None:
    sources = {DATASET: f"{__name__}:FULL", "other": f"{__name__}:EMPTY"}
    datasets = {name: spec.model_copy(update={"source": sources[name]}) for name, spec in two.datasets.items()}
    catalogue = Catalogue(datasets, two.features, two.models)
    (tags,) = _ranges(Workspace(), catalogue, catalogue.limited([DATASET]), "", "")[0].values()
    assert (tags[RANGE_START], tags[RANGE_END]) == ("2024-01-01", "2024-03-01")
    with pytest.raises(PlatformError, match="no source has a partition yet"):
        _ranges(Workspace(), catalogue, catalogue.limited(["other"]), "", "")


def test_a_partition_that_has_not_ended_is_not_run(
    two: Catalogue, _own_local: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = Partitions.model_validate({"every": "month", "start": "2024-01-01", "end": "2024-12-01"})
    changed = {"source": f"{__name__}:FULL", "partitions": partitions}
    datasets = {DATASET: two.dataset(DATASET).model_copy(update=changed)}
    catalogue = Catalogue(datasets, two.features, {MODEL: two.model(MODEL)})
    for now, last in (("2024-03-20", "2024-01-01"), ("2024-04-01", "2024-03-01")):
        monkeypatch.setenv("ML_PLATFORM_NOW", now)
        get_settings.cache_clear()
        (tags,) = _ranges(Workspace(), catalogue, catalogue.limited([DATASET]), "", "")[0].values()
        assert (tags[RANGE_START], tags[RANGE_END]) == ("2024-01-01", last)


@pytest.mark.parametrize(
    ("offered", "published", "told"),
    [
        (
            "DAYS",
            [],
            "purchases: the source offers 2023-12-01, 2024-01-15, which is no partition that has ended (every month ",
        ),
        (
            "MONTHS",
            [],
            "purchases: partitions() returned another key than the dataset has: partition '2024-01' is not an ISO",
        ),
        (
            "EMPTY",
            ["2024-01-01", "2024-02-01"],
            "purchases: the source offers none of the 2 partitions that it had (2024-01-01 ",
        ),
    ],
)
def test_what_is_odd_about_a_source_is_one_line(
    two: Catalogue, _own_local: None, offered: str, published: list[str], told: str
) -> None:
    dataset = two.dataset(DATASET).model_copy(update={"source": f"{__name__}:{offered}"})
    catalogue = Catalogue({DATASET: dataset}, two.features, {MODEL: two.model(MODEL)})
    references: Any = SimpleNamespace(partitions=lambda _: published)
    with pytest.raises(PlatformError) as raised:
        _ranges(Workspace().with_(references=references), catalogue, catalogue, "", "")
    assert str(raised.value).replace(f"source: {dataset.source}", DATASET).startswith(told)
    dataset = dataset.model_copy(update={"source": f"{__name__}:SOME"})
    catalogue = Catalogue({DATASET: dataset}, two.features, {MODEL: two.model(MODEL)})
    ranges, notes = _ranges(Workspace(), catalogue, catalogue, "", "")
    assert [tags[RANGE_START] for tags in ranges.values()] == ["2024-02-01"] and "2023-12-01" in notes[0]


class Known:
    """A source that knows its partitions only."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def partitions(self) -> dict[str, str]:
        return dict.fromkeys(self.names, "seen")

    def read(self, partition: str) -> Any:
        raise AssertionError(partition)


FULL, EMPTY = Known("2024-01-01", "2024-03-01"), Known()
DAYS, MONTHS, SOME = Known("2023-12-01", "2024-01-15"), Known("2024-01"), Known("2024-02-01", "2023-12-01")
