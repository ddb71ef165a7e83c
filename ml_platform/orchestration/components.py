"""The components that users declare in ``defs.yaml``: Dataset, FeatureSet, Model, Platform."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.loading import load_catalogue
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.reading import NoAttributes
from ml_platform.foundation.project import Project
from ml_platform.foundation.settings import get_settings
from ml_platform.orchestration.dataset import dataset_definitions, feature_definitions
from ml_platform.orchestration.model import model_definitions
from ml_platform.orchestration.platform import platform_definitions
from ml_platform.orchestration.scaffold import (
    DatasetScaffolder,
    FeatureSetScaffolder,
    ModelScaffolder,
    PlatformScaffolder,
)


class _Attributes(BaseModel):
    """What Dagster has read below ``attributes``; the domain reads and checks it itself, with its own messages."""

    model_config = ConfigDict(extra="allow")

    of: ClassVar[type[BaseModel]]

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of the declaration, for ``dg check yaml``, editors and Dagster's pages."""
        return cls.of.model_json_schema(*args, **kwargs)


class _Declared(dg.Component):
    """A component whose attributes are a declaration of the domain, and what it is declared among."""

    spec_type: type[BaseModel]

    def __init__(self, attributes: Mapping[str, Any], catalogue: Catalogue) -> None:
        self.attributes = attributes
        self.catalogue = catalogue

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Attributes of ``defs.yaml``."""
        return type(f"{cls.__name__}Attributes", (_Attributes,), {"of": cls.spec_type, "__module__": __name__})

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """A component of a project without mistakes. Raises DeclarationError with the first one."""
        return cls((attributes.model_extra if attributes is not None else None) or {}, catalogue_of(context))


@dg.scaffold_with(DatasetScaffolder)
class Dataset(_Declared):
    """A versioned dataset: batches from a source, judged on a staging branch, merged into main."""

    spec_type = DatasetSpec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets ``<name>/batch`` and ``<name>/dataset``, and their checks."""
        return dataset_definitions(self.catalogue.dataset(self.attributes["name"]))


@dg.scaffold_with(FeatureSetScaffolder)
class FeatureSet(_Declared):
    """Features of a dataset by one function, the same for training and serving."""

    spec_type = FeatureSpec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset ``<dataset>/<name>`` and its checks."""
        name = self.attributes.get("name", FeatureSpec.model_fields["name"].default)
        spec = self.catalogue.feature_set(f"{self.attributes['dataset']}/{name}")
        return feature_definitions(spec, self.catalogue.dataset(spec.dataset))


@dg.scaffold_with(ModelScaffolder)
class Model(_Declared):
    """A model on a feature set: from split to deployment, gated at every step."""

    spec_type = ModelSpec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of the model, and their checks."""
        return model_definitions(ModelContext.of(self.catalogue, self.attributes["name"]))


@dg.scaffold_with(PlatformScaffolder)
class Platform(_Declared):
    """What datasets and models share: resources, executor, sensors, and the job over everything. Once a project."""

    spec_type = NoAttributes

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Resources, sensors over all datasets and models, and the jobs. Raises SettingsMistake."""
        # A code location does not load under settings that cannot be meant, whatever its assets would read of them.
        get_settings()
        return platform_definitions(self.catalogue)


def catalogue_of(context: dg.ComponentLoadContext) -> Catalogue:
    """Every declaration of the project that a component belongs to. Raises DeclarationError."""
    project = Project.find(context.project_root)
    return _catalogue(project, tuple(file.read_bytes() for file in project.files()))


@lru_cache(maxsize=1)
def _catalogue(project: Project, content: tuple[bytes, ...]) -> Catalogue:
    """Once for all components; anew where a file has other content."""
    return load_catalogue(project, working=True)
