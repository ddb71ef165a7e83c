"""All declarations of a project together: by name, and each model with what it depends on."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.names import meant
from ml_platform.foundation.variables import SettingsMistake


@dataclass(frozen=True)
class Catalogue:
    """All declarations of a project, by name."""

    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    features: dict[str, FeatureSpec] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)

    @classmethod
    def of(cls, specs: Iterable[Declaration]) -> "Catalogue":
        """Collect declarations; raises DeclarationError where two would make assets of one name."""
        catalogue = cls()
        owners: dict[str, str] = {}
        for spec in specs:
            table, name = catalogue._table(spec)
            for asset in _assets(spec):
                if asset in owners:
                    raise DeclarationError(
                        f"name: two declarations make the asset {asset} ({owners[asset]} and {name})"
                    )
                owners[asset] = name
            table[name] = spec
        return catalogue

    def _table(self, spec: Declaration) -> tuple[dict[str, Any], str]:
        if isinstance(spec, DatasetSpec):
            return self.datasets, spec.name
        if isinstance(spec, FeatureSpec):
            return self.features, spec.key
        assert isinstance(spec, ModelSpec)
        return self.models, spec.name

    def dataset(self, name: str) -> DatasetSpec:
        """A dataset by name; raises DeclarationError with the names there are."""
        return _named(self.datasets, name, "dataset")

    def model(self, name: str) -> ModelSpec:
        """A model by name; raises DeclarationError with the names there are."""
        return _named(self.models, name, "model")

    def feature_set(self, key: str) -> FeatureSpec:
        """A feature set by ``dataset/name``; raises DeclarationError with the names there are."""
        return _named(self.features, key, "features")

    def limited(self, datasets: Collection[str] = (), models: Collection[str] = ()) -> "Catalogue":
        """What belongs to datasets, with all models on them, and to models, with the dataset of each; of none, all.

        Raises DeclarationError with the names there are.
        """
        if not datasets and not models:
            return self
        owners = {self.dataset(name).name for name in datasets}
        chosen = {self.model(name).name: self.model(name) for name in models}
        chosen |= {
            name: spec for name, spec in self.models.items() if self.feature_set(spec.features).dataset in owners
        }
        owners |= {self.feature_set(spec.features).dataset for spec in chosen.values()}
        owners |= {spec.labels for spec in chosen.values()} & {*self.datasets}
        return Catalogue(
            {name: spec for name, spec in self.datasets.items() if name in owners},
            {key: spec for key, spec in self.features.items() if spec.dataset in owners},
            {name: spec for name, spec in self.models.items() if name in chosen},
        )

    def paused(self, setting: str) -> frozenset[str]:
        """Datasets and models that ``ML_PLATFORM_PAUSED`` names. Raises SettingsMistake for one that is not declared.

        Else what was to be paused would go on, and nobody would know.
        """
        names = frozenset(filter(None, (part.strip() for part in setting.split(","))))
        known = sorted({**self.datasets, **self.models})
        for name in sorted(names - {*known}):
            raise SettingsMistake(
                f"ML_PLATFORM_PAUSED: there is no dataset or model {name!r}; declared: {', '.join(known) or 'none'}"
                f"{meant(name, known)}"
            )
        return names

    @property
    def all(self) -> list[Declaration]:
        """Every declaration, in the order in which data flows."""
        return [*self.datasets.values(), *self.features.values(), *self.models.values()]


def _named(table: dict[str, Any], name: str, key: str) -> Any:
    if name not in table:
        raise DeclarationError(
            f"{key}: there is no {name!r}; declared: {', '.join(sorted(table)) or 'none'}{meant(name, table)}"
        )
    return table[name]


def _assets(spec: Declaration) -> list[str]:
    if isinstance(spec, DatasetSpec):
        return [f"{spec.name}/batch", f"{spec.name}/dataset"]
    if isinstance(spec, FeatureSpec):
        return [spec.key]
    assert isinstance(spec, ModelSpec)
    return [
        f"{spec.name}/{asset}"
        for asset in (
            *("split", "model", "evaluation", "refit", "registered_model", "service", "deployment"),
            *("drift", "scores", "predictions", "live_performance", "live_drift"),
        )
    ]
