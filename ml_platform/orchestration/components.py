"""The components that users declare in ``defs.yaml``: Dataset, FeatureSet, Model, Platform."""

from functools import lru_cache
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel, ValidationError

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.mistakes import problems
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.reading import NoAttributes
from ml_platform.foundation.errors import DeclarationError
from ml_platform.orchestration.dataset import dataset_definitions, feature_definitions
from ml_platform.orchestration.model import model_definitions
from ml_platform.orchestration.platform import platform_definitions
from ml_platform.orchestration.scaffold import (
    DatasetScaffolder,
    FeatureSetScaffolder,
    ModelScaffolder,
    PlatformScaffolder,
)


class _Declared(dg.Component):
    """A component whose attributes are a declaration of the domain."""

    spec_type: type[Declaration]

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Attributes of ``defs.yaml``."""
        return cls.spec_type

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """A component from its attributes."""
        return cls(attributes)

    def _checked(self, context: dg.ComponentLoadContext) -> Catalogue:
        """All declarations of the project, once this one is known to work."""
        catalogue = catalogue_of(context)
        place = getattr(getattr(context, "component_path", None), "file_path", "defs.yaml")
        for _, key, reason in problems(catalogue, self.spec, deep=False):
            raise DeclarationError(f"{place}: {key}: {reason}")
        return catalogue


@dg.scaffold_with(DatasetScaffolder)
class Dataset(_Declared):
    """A versioned dataset: batches from a source, judged on a staging branch, merged into main."""

    spec_type = DatasetSpec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets ``<name>/batch`` and ``<name>/dataset``, and their checks."""
        self._checked(context)
        return dataset_definitions(self.spec)


@dg.scaffold_with(FeatureSetScaffolder)
class FeatureSet(_Declared):
    """Features of a dataset by one function, the same for training and serving."""

    spec_type = FeatureSpec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset ``<dataset>/<name>`` and its checks."""
        return feature_definitions(self.spec, self._checked(context).dataset(self.spec.dataset))


@dg.scaffold_with(ModelScaffolder)
class Model(_Declared):
    """A model on a feature set: from split to deployment, gated at every step."""

    spec_type = ModelSpec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The six assets of the model, and their checks."""
        return model_definitions(ModelContext.of(self._checked(context), self.spec.name))


@dg.scaffold_with(PlatformScaffolder)
class Platform(dg.Component):
    """What datasets and models share: resources, executor, sensors, and the job over everything. Once a project."""

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """No attributes."""
        return NoAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component."""
        return cls()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Resources, sensors over all datasets and models, and the jobs."""
        return platform_definitions(catalogue_of(context))


def catalogue_of(context: dg.ComponentLoadContext) -> Catalogue:
    """Every declaration of the project that a component belongs to."""
    tree = context.component_tree
    found = [
        component.spec for kind in (Dataset, FeatureSet, Model) for component in tree.get_all_components(of_type=kind)
    ]
    return Catalogue.of(found)


@lru_cache(maxsize=1)
def project_catalogue() -> Catalogue:
    """Every declaration of this process's project. Raises NoProject or DeclarationError."""
    from dagster.components.core.component_tree import ComponentTree, ComponentTreeException

    from ml_platform.foundation.project import current_project

    try:
        return catalogue_of(ComponentTree.for_project(current_project().root).load_context)
    except (ComponentTreeException, ValidationError) as error:
        raise DeclarationError("the declarations have mistakes; ml-platform validate shows each in one line") from error
