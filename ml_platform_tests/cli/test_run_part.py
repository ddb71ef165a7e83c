"""``ml-platform run --dataset --model``: what belongs to a name, and nothing else."""

from typing import Any

import pytest

from ml_platform.cli.run import _ranges
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.orchestration.runs import RANGE_END, RANGE_START
from ml_platform.pipeline.workspace import Workspace
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
    (tags,) = _ranges(Workspace(), catalogue, catalogue.limited([DATASET]), "", "").values()
    assert (tags[RANGE_START], tags[RANGE_END]) == ("2024-01-01", "2024-03-01")
    with pytest.raises(PlatformError, match="no source has a partition yet"):
        _ranges(Workspace(), catalogue, catalogue.limited(["other"]), "", "")


class Known:
    """A source that knows its partitions only."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def partitions(self) -> dict[str, str]:
        return dict.fromkeys(self.names, "seen")

    def read(self, partition: str) -> Any:
        raise AssertionError(partition)


FULL, EMPTY = Known("2024-01-01", "2024-03-01"), Known()
