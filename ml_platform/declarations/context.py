"""A model with its feature set and its dataset."""

from dataclasses import dataclass
from functools import cached_property

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.features.contract import FeatureFunction, feature_names


@dataclass(frozen=True)
class ModelContext:
    """A model with the declarations it depends on."""

    model: ModelSpec
    feature_set: FeatureSpec
    dataset: DatasetSpec

    #: The feature function, where it is another than the declared one.
    replacement: FeatureFunction | None = None
    #: The dataset with what came of predictions, where it is one of its own.
    labels: DatasetSpec | None = None

    @property
    def outcomes(self) -> DatasetSpec:
        """The dataset with what came of predictions."""
        return self.labels or self.dataset

    @cached_property
    def function(self) -> FeatureFunction:
        """The feature function."""
        return self.replacement if self.replacement is not None else self.feature_set.load_function()

    @property
    def names(self) -> tuple[str, ...]:
        """The features of the matrix, in order."""
        return feature_names(self.function)

    @classmethod
    def of(cls, catalogue: Catalogue, name: str) -> "ModelContext":
        """Look a model up with what it depends on."""
        model = catalogue.model(name)
        features = catalogue.feature_set(model.features)
        # A part of the declarations, as for a trial, may be without it.
        labels = catalogue.datasets.get(model.labels)
        return cls(model, features, catalogue.dataset(features.dataset), labels=labels)
