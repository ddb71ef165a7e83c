"""``dg scaffold defs ml_platform.Model NAME``: files that load as they are."""

import os
import re
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import dagster as dg
from pydantic import BaseModel, Field

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import NAME
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.reading import Reading, one_line, read_declarations
from ml_platform.foundation.project import Project
from ml_platform.foundation.raised import explained
from ml_platform.foundation.settings import default_home
from ml_platform.models.task import TASKS, Task, task_of

TEMPLATES = files("ml_platform.orchestration") / "templates"

#: Where the gates of a model's template begin; nothing but they follow.
GATES = "  gates:\n"


class _TemplateScaffolder(dg.Scaffolder[Any]):
    """Copies the templates of one component, with the words in capitals filled in."""

    #: Files of ``templates/`` by the name they get.
    templates: dict[str, str]

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write ``defs.yaml`` and the files beside it. Raises ClickException for what cannot be scaffolded."""
        try:
            self._scaffold(request, request.target_path)
        except click.ClickException:
            raise
        except Exception as error:
            if (told := explained(error)) is None:
                raise
            _give_up(request.target_path, str(told))

    def _scaffold(self, request: dg.ScaffoldRequest[Any], target: Path) -> None:
        name = target.parent.name if request.append else target.name
        if request.scaffold_format != "yaml":
            _give_up(target, "components of ml_platform are declared in YAML; leave --format python out")
        if not re.fullmatch(NAME, name):
            _give_up(target, f"{name!r} is no name for assets: take lower-case letters, digits and _, e.g. my_model")
        project = Project.find(request.project_root or target)
        project.make_importable()
        words = {"NAME": name, "CAPITALS": name.upper(), "PACKAGE": _package(project, target)}
        reading = read_declarations(project)
        words |= self.words(target, request.params, reading)
        chosen, folder = self.choose(request.params), target.parent if request.append else target
        if taken := [
            file for file in chosen if (folder / file).exists() and not (request.append and file == "defs.yaml")
        ]:
            _give_up(target, f"{folder / taken[0]} is there already; take another name or remove it")
        for file, template in chosen.items():
            text = (TEMPLATES / template).read_text()
            for word, value in words.items():
                text = text.replace(f"__{word}__", value)
            text = self.finish(text, reading)
            if request.append and file == "defs.yaml":
                target.write_text(f"{target.read_text().rstrip()}\n---\n{text}")
            else:
                (folder / file).write_text(text)
        self.complete(project)

    def words(self, target: Path, params: Any, reading: Reading) -> dict[str, str]:
        """Further words to fill in."""
        return {}

    def complete(self, project: Project) -> None:
        """What else the project needs."""

    def choose(self, params: Any) -> dict[str, str]:
        """Files and their templates."""
        return self.templates

    def finish(self, text: str, reading: Reading) -> str:
        """What becomes of a template that is filled in."""
        return text


class DatasetScaffolder(_TemplateScaffolder):
    """A dataset with a source, a schema and features to fill in."""

    templates = {  # noqa: RUF012
        "defs.yaml": "dataset.yaml.txt",
        "__init__.py": "dataset.__init__.py.txt",
        "source.py": "dataset.source.py.txt",
        "schema.py": "dataset.schema.py.txt",
        "features.py": "dataset.features.py.txt",
    }


class FeatureSetParams(BaseModel):
    """Options of ``dg scaffold defs ml_platform.FeatureSet``."""

    dataset: str = Field("", description="Dataset of the project; default: the first one.")
    function: str = Field("", description="Feature function, module:object; default: that of the dataset's features.")


class FeatureSetScaffolder(_TemplateScaffolder):
    """A further feature set of a dataset."""

    templates = {"defs.yaml": "featureset.yaml.txt"}  # noqa: RUF012

    @classmethod
    def get_scaffold_params(cls) -> type[BaseModel]:
        """Dataset and function."""
        return FeatureSetParams

    def words(self, target: Path, params: Any, reading: Reading) -> dict[str, str]:
        """The dataset that is named, or the first one, and its function."""
        datasets = [spec.name for spec in reading.of_type(DatasetSpec)]
        dataset = params.dataset or next(iter(datasets), "")
        if dataset not in datasets:
            _give_up(target, _unknown("dataset", dataset, datasets))
        known = [spec.function for spec in reading.of_type(FeatureSpec) if spec.dataset == dataset]
        function = params.function or next(iter(known), "")
        if not function:
            _give_up(target, f"{dataset} has no feature function yet: give one as --function module:object")
        return {"DATASET": dataset, "FUNCTION": function}


class ModelParams(BaseModel):
    """Options of ``dg scaffold defs ml_platform.Model``."""

    features: str = Field("", description="Feature set, dataset/name; default: the first one of the project.")
    target: str = Field("", description="Label of the feature function; default: its first one.")
    task: str = Field("binary", description=f"What kind of label it is: {', '.join(TASKS)} or module:Class.")


class ModelScaffolder(_TemplateScaffolder):
    """A model on a feature set of the project."""

    @classmethod
    def get_scaffold_params(cls) -> type[BaseModel]:
        """Feature set, target and task."""
        return ModelParams

    def choose(self, params: Any) -> dict[str, str]:
        """The declaration for the task; tasks without a template of their own share one."""
        own = f"model.{params.task}.yaml.txt"
        return {"defs.yaml": own if (TEMPLATES / own).is_file() else "model.yaml.txt"}

    def words(self, target: Path, params: Any, reading: Reading) -> dict[str, str]:
        """The feature set that is named, or the first one, and its label; the task, and what it measures first."""
        task = task_of(params.task)
        sets = {spec.key: spec for spec in reading.of_type(FeatureSpec)}
        key = params.features or next(iter(sets), "")
        if key not in sets:
            _give_up(target, _unknown("feature set", key, list(sets)))
        labels = sets[key].load_function().labels
        label = params.target or labels[0]
        if label not in labels:
            _give_up(target, f"{key} has no label {label!r}; it has {', '.join(labels)}")
        found = {"FEATURES": key, "TARGET": label, "LABELS": ", ".join(labels)}
        return found | {"TASK": params.task, "OPTIONS": _options(task), "METRIC": task.compared[0]}

    def finish(self, text: str, reading: Reading) -> str:
        """With thresholds from the data that is there; with those of the template, and why, where it gives none."""
        import yaml

        from ml_platform.pipeline.workspace import Workspace
        from ml_platform.proving.first import first_thresholds

        model = ModelSpec.model_validate(yaml.safe_load(text)["attributes"])
        catalogue = Catalogue(
            {spec.name: spec for spec in reading.of_type(DatasetSpec)},
            {spec.key: spec for spec in reading.of_type(FeatureSpec)},
            {model.name: model},
        )
        os.environ.setdefault("DAGSTER_HOME", str(default_home()))
        try:
            with tempfile.TemporaryDirectory(prefix="ml-platform-scaffold-") as folder:
                context = ModelContext.of(catalogue, model.name)
                found, windows = first_thresholds(context, Workspace(), Path(folder), click.echo)
        except Exception as error:
            # The source is often still to be written, and may raise anything; the declaration is right without it.
            click.echo(f"Thresholds of {model.name} are those of the template: {one_line(str(error) or repr(error))}")
            return text
        lines = "".join(f"    {one.line()}\n" for one in found)
        seen = (
            f"  # Proposed from what {len(windows)} windows showed, to {windows[0].last} up to {windows[-1].last};\n"
            f"  # ml-platform suggest {model.name} proposes from all windows.\n"
        )
        return f"{text.partition(GATES)[0]}{seen}{GATES}{lines}"


class PlatformScaffolder(_TemplateScaffolder):
    """The component with resources and sensors."""

    templates = {"defs.yaml": "platform.yaml.txt"}  # noqa: RUF012

    def words(self, target: Path, params: Any, reading: Reading) -> dict[str, str]:
        """None; a project has one Platform only."""
        if reading.platforms:
            _give_up(target, f"the project has a Platform already: {reading.platforms[0].file}")
        return {}

    def complete(self, project: Project) -> None:
        """The instance of Dagster and what Git leaves alone, where they are lacking."""
        from ml_platform.creating.home import instance_files

        for file in instance_files(project):
            click.echo(f"Wrote {file.relative_to(project.root)}.")


def _options(task: Task) -> str:
    """The keys of a declaration that a task with such predictions asks for, each on a line of its own."""
    return {
        "probability": "\n  decision_threshold: 0.5",
        "classes": '\n  classes: ["0", "1", "2"]   # every value of the target, as text',
        "value": "",
    }[task.output]


def _package(project: Project, target: Path) -> str:
    folder = target.parent if target.suffix else target
    return ".".join(folder.resolve().relative_to(project.code).parts)


def _unknown(what: str, name: str, known: list[str]) -> str:
    if not known:
        return f"the project has no {what} yet: run dg scaffold defs ml_platform.Dataset NAME first"
    return f"there is no {what} {name!r}; declared: {', '.join(sorted(known))}"


def _give_up(target: Path, reason: str) -> None:
    # An empty folder would stand in the way of the next attempt.
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    raise click.ClickException(reason)
