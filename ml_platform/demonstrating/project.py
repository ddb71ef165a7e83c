"""The project of the demonstration: the declarations of the example, with months that arrive, a refit and a rollout."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_platform.creating.home import instance_files
from ml_platform.demonstrating import world
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.project import Project

MODEL, DATASET = "flight_delay", "flights"
#: Package of the project, and the note by which a folder is known to be of a demonstration.
PACKAGE, MARK = "flights_of_2013", ".demonstration"
#: What is declared otherwise than in the example, and why.
DECLARED: dict[str, Mapping[str, Any]] = {
    DATASET: {"source": "ml_platform.demonstrating.world:source"},
    MODEL: {
        # What answers has learned from the newest month as well: it costs a second training, which pays where months
        # go by, and not in the example's one run.
        "split": {"refit": True},
        # A third of the rounds, in twice the steps: as good, and sooner.
        "parameters": {"rounds": 100, "eta": 0.1},
        "rollout": {"steps": [{"weight": 20, "requests": 60}], "watch": 5},
    },
}
#: Gates that are declared beside those of the example.
GATES = {MODEL: [{"gate": "agreement", "metric": "correlation", "min": 0.6}]}
_PYPROJECT = f"""\
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{PACKAGE}"
"""
_WORKSPACE = f"""\
load_from:
  - python_module: {{module_name: {PACKAGE}.definitions, location_name: {PACKAGE}, working_directory: .}}
"""
_DEFINITIONS = '''\
"""Everything that is declared below ``defs``."""

from pathlib import Path

import dagster as dg


@dg.definitions
def everything() -> dg.Definitions:
    """Load ``defs``."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
'''


def prepare(folder: Path, begins: str, declared: Mapping[str, Mapping[str, Any]] = DECLARED) -> Project:
    """Write the project to a folder, and the time at which it begins; what an earlier one left there is removed.

    ``declared``: what dataset, features (``flights/features``) and model declare otherwise than the example.

    Raises PlatformError where the folder holds anything else, and where the example is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise PlatformError(f"{folder} holds something else than a demonstration: name another folder")
        shutil.rmtree(folder)
    write_atomic(folder / MARK, "")
    code = folder / PACKAGE
    for name, text in {
        folder / "pyproject.toml": _PYPROJECT,
        folder / "workspace.yaml": _WORKSPACE,
        code / "__init__.py": "",
        code / "defs" / "__init__.py": "",
        code / "definitions.py": _DEFINITIONS,
        code / "defs" / "platform" / "defs.yaml": "type: ml_platform.Platform\n",
        **{code / "defs" / name / "defs.yaml": _declarations(name, declared) for name in (DATASET, MODEL)},
    }.items():
        write_atomic(name, text)
    project = Project.find(folder)
    instance_files(project)
    world.deliver(folder, {})
    write_atomic(folder / world.CLOCK, f"{begins}\n")
    return project


def _declarations(name: str, declared: Mapping[str, Mapping[str, Any]]) -> str:
    """The ``defs.yaml`` of the example's folder ``name``, as it is declared here."""
    import yaml

    file = Path(__file__).parent.parent / "defs" / name / "defs.yaml"
    try:
        documents = [*yaml.safe_load_all(file.read_text())]
    except FileNotFoundError:
        raise PlatformError(
            "the demonstration is of the example in the project's repository, which is not part of an installed "
            "package; run make demo there"
        ) from None
    for one in documents:
        attributes = one["attributes"]
        owner = attributes.get("name", f"{name}/features")
        for key, value in declared.get(owner, {}).items():
            attributes[key] = {**attributes.get(key, {}), **value} if isinstance(value, Mapping) else value
        attributes["gates"].extend(GATES.get(owner, []))
    return yaml.safe_dump_all(documents, sort_keys=False, width=110)
