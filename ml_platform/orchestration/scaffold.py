"""``dg scaffold defs ml_platform.Model NAME``: files that load as they are."""

from importlib.resources import files
from typing import Any

import dagster as dg


class _TemplateScaffolder(dg.Scaffolder[Any]):
    """Copies the templates of one component, with the name filled in."""

    template: str
    others: tuple[str, ...] = ()

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write ``defs.yaml`` and the files beside it."""
        root = files("ml_platform.orchestration") / "templates"
        target = request.target_path
        target.mkdir(parents=True, exist_ok=True)
        name = target.name
        package = ".".join(target.relative_to(request.project_root).parts) if request.project_root else name
        for source in (self.template, *self.others):
            text = (root / source).read_text().replace("__NAME__", name).replace("__PACKAGE__", package)
            destination = target / source.removeprefix(f"{self.template.split('.')[0]}.").removesuffix(".txt")
            (target / "defs.yaml" if source == self.template else destination).write_text(text)


class DatasetScaffolder(_TemplateScaffolder):
    """A dataset with a source, a schema and features to fill in."""

    template = "dataset.yaml.txt"
    others = ("dataset.source.py.txt", "dataset.schema.py.txt", "dataset.features.py.txt", "dataset.__init__.py.txt")


class FeatureSetScaffolder(_TemplateScaffolder):
    """A further feature set of a dataset."""

    template = "featureset.yaml.txt"


class ModelScaffolder(_TemplateScaffolder):
    """A model on the features of the flights example, to be pointed at one's own."""

    template = "model.yaml.txt"


class PlatformScaffolder(_TemplateScaffolder):
    """The component with resources and sensors."""

    template = "platform.yaml.txt"
