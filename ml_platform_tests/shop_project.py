"""The shop of the tests in this process: months of purchases in a source that can be broken, and the platform on it.

The declarations are those of ``shop/``, a project folder that the command line can run as well (:func:`folder_of`).
"""

import shutil
import sys
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import yaml

from ml_platform.declarations.catalogue import Catalogue
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.moving import moved
from ml_platform_tests.prepared import once
from ml_platform_tests.project import Batches, Outcome, Project

if TYPE_CHECKING:
    import polars as pl

SHOP = ROOT / "ml_platform_tests" / "shop"
if (_code := str(SHOP / "src")) not in sys.path:
    sys.path.append(_code)  # as `dg` does with the code of a project

#: Environment variable with the folder that the source serves.
FOLDER = "GROCERY_FOLDER"
JANUARY, FEBRUARY, MARCH, APRIL, MAY = MONTHS = tuple(f"2024-{month:02d}-01" for month in range(1, 6))
DATASET, FEATURES = "purchases", "purchases/features"
MODEL, REGRESSION = MODELS = ("returned", "delivery_days")
#: Gates that see nearly every break, so that no other gate would be seen to act alone; and those that time something.
BROAD = ("distribution", "constancy", "single_feature")
#: Gates that are declared for every model here, of all those in ``shop/``: enough for a loop, and quick.
USUAL = (
    "disjoint", "time_order", "performance", "baseline", "champion", "leak_alarm", "servability", "skew", "bad_input",
    "health",
)  # fmt: skip


def attributes(folder: str) -> list[dict[str, Any]]:
    """What the ``defs.yaml`` of a folder declares, as it stands there."""
    return deepcopy(_read(SHOP / "src" / "grocery" / "defs" / folder / "defs.yaml"))


@cache
def _read(file: Path) -> list[dict[str, Any]]:
    return [document["attributes"] for document in yaml.safe_load_all(file.read_text())]


def usual(gates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of declared gates the first of each kind of :data:`USUAL`."""
    first: dict[str, dict[str, Any]] = {}
    for gate in gates:
        if gate["gate"] in USUAL:
            first.setdefault(gate["gate"], dict(gate))
    return list(first.values())


#: From the split to the registered version of the model ``returned``, and its parameters.
STEPS = tuple(f"{MODEL}/{step}" for step in ("split", "model", "evaluation", "registered_model"))
PARAMETERS: dict[str, Any] = attributes(MODEL)[0]["parameters"]
#: The usual gates of the model ``returned``.
GATES = usual(attributes(MODEL)[0]["gates"])


def gates(**changes: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """:data:`GATES` with the thresholds of some changed, by kind; ``None`` takes a gate off."""
    return [
        {**gate, **(changes.get(gate["gate"]) or {})} for gate in GATES if changes.get(gate["gate"], {}) is not None
    ]


def declared(
    *,
    dataset: Mapping[str, Any] | None = None,
    features: Mapping[str, Any] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
) -> Catalogue:
    """The declarations of the shop with the usual gates and no quarantine, with these attributes changed.

    One model for each entry of ``models``: those of the shop by their names, any other is ``returned`` under that name.
    """
    from ml_platform.declarations.dataset import DatasetSpec
    from ml_platform.declarations.features import FeatureSpec
    from ml_platform.declarations.model import ModelSpec

    data, feature = (
        {**one, "gates": [gate for gate in one["gates"] if gate["gate"] not in BROAD]} for one in attributes(DATASET)
    )
    specs: list[Any] = [
        DatasetSpec.model_validate({**data, "quarantine": None, **(dataset or {})}),
        FeatureSpec.model_validate({**feature, **(features or {})}),
    ]
    for name, changes in (models if models is not None else {MODEL: {}}).items():
        (model,) = attributes(name if name in MODELS else MODEL)
        small = {**model, "gates": usual(model["gates"]), "split": {"holdout": 1}, "drift": None}
        specs.append(ModelSpec.model_validate({**small, "name": name, **changes}))
    return Catalogue.of(specs)


def everything() -> Catalogue:
    """The declarations of the shop exactly as its people wrote them."""
    from ml_platform.declarations.dataset import DatasetSpec
    from ml_platform.declarations.features import FeatureSpec
    from ml_platform.declarations.model import ModelSpec

    data, feature = attributes(DATASET)
    models = [ModelSpec.model_validate(one) for name in MODELS for one in attributes(name)]
    return Catalogue.of([DatasetSpec.model_validate(data), FeatureSpec.model_validate(feature), *models])


def lenient() -> Catalogue:
    """A model of few months: whether it is good is not the question there."""
    return declared(models={MODEL: {"gates": gates(performance={"min": 0.5}, baseline={"min": -0.5})}})


class Tills(Batches):
    """What the tills have sent, whole or broken. ``broken`` rows of a month break a rule of the schema."""

    def __init__(self, folder: Path, broken: int = 0) -> None:
        super().__init__(folder, folder)
        self.broken = broken

    def original(self, month: str) -> "pl.DataFrame":
        """The rows of a month."""
        from grocery.made_up import purchases

        return purchases(month, broken=self.broken)


def new_project(
    folder: Path,
    catalogue: Catalogue | None = None,
    *,
    instance: dg.DagsterInstance | None = None,
    arrived: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    broken: int = 0,
) -> Project:
    """An empty project below ``folder``; the months ``arrived`` wait at its source."""
    project = Project(
        folder,
        Tills(folder / "source", broken),
        catalogue or declared(),
        instance or dg.DagsterInstance.ephemeral(),
        dict(environment or {}),
        dataset=DATASET,
        model=MODEL,
        variable=FOLDER,
    )
    project.batches.deliver(*arrived)
    return project


def ingested(base: Path) -> Path:
    """Folder of a project in which January to April are published, with features; ``base`` as for :func:`once`."""

    def make(folder: Path) -> None:
        project = new_project(folder, arrived=MONTHS[:4])
        outcome = project.ingest(JANUARY, APRIL)
        assert outcome.success, outcome.error
        project.prepare_tracking()

    return once(base, "shop-ingested", make)


def registered(base: Path) -> Path:
    """Folder of a project in which, from January to April, both models are registered as well."""
    before = ingested(base)

    def make(folder: Path) -> None:
        project = copy_of(before, folder, declared(models={model: {} for model in MODELS}))
        steps = ("split", "model", "evaluation", "registered_model")
        outcome = project.materialize(*(f"{model}/{step}" for model in MODELS for step in steps), checks=None)
        assert outcome.success, outcome.error

    return once(base, "shop-registered", make)


def train(project: Project) -> Outcome:
    """Everything from the split to the registered version of ``returned``, with its checks."""
    outcome = project.materialize(*STEPS, checks=None)
    assert outcome.success, outcome.error
    return outcome


def copy_of(folder: Path, target: Path, catalogue: Catalogue | None = None, **environment: str) -> Project:
    """A project of its own with everything that another one made, and an empty Dagster history."""
    shutil.copytree(folder, target)
    moved(target, str(folder), str(target))
    return new_project(target, catalogue, environment=environment)


def folder_of(target: Path) -> Path:
    """The project folder at ``target``, as its people have it: code and declarations, nothing that it ever ran."""
    return shutil.copytree(SHOP, target, ignore=shutil.ignore_patterns(".local", "incoming", "__pycache__"))
