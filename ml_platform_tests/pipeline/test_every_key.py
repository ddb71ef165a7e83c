"""Every key of every declaration is part of the context of verdicts: changed after judging, no old pass counts.

The keys are found by introspection, so that one that is added is walked over as well.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.declaration import UNJUDGED
from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate, judge
from ml_platform.gates.service import ServiceEvidence
from ml_platform.pipeline import approval, data, judging, registration, release
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, ServiceRef
from ml_platform_tests.pipeline.keys import ALL, changes, specs
from ml_platform_tests.shop_project import MAY, MODEL, copy_of, declared, train

FINE = ServiceEvidence("", 1.0, 20, 500, 0, 0.0, (), 5)
WALKED = [(owner, key) for owner, key in ALL if key.partition(".")[0] not in UNJUDGED]


def test_the_exempt_keys_are_these_and_each_has_its_reason() -> None:
    assert UNJUDGED.keys() == {
        "description",
        "owners",
        "tags",
        "purpose",
        "limits",
        "rollout",
        "labels",
        "retrain",
        "drift",
        "gates",
    }
    assert all(UNJUDGED.values()), "gates have hashes of their own, walked over below; the others judge nothing"
    assert len(WALKED) > 40


def test_every_key_of_a_gate_is_another_gate() -> None:
    gate = Gate.model_validate({"gate": "performance", "metric": "auc", "min": 0.7})
    for key, changed in changes(gate):
        if key == "gate":
            continue  # another kind is another name
        assert isinstance(changed, Gate)
        assert (changed.name, changed.declaration) != (gate.name, gate.declaration), key


class Again(Exception):
    """Something is being judged, or measured for it."""


class Watched:
    """A ledger into which nobody may write a verdict."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def record(self, *_: Any, **__: Any) -> int:
        """Every judgement ends here."""
        raise Again


def measured(*_: object) -> Any:
    """Every evaluation begins here."""
    raise Again


@dataclass
class Shop:
    """A shop in which a batch is staged and judged, a model registered and approved, and its package judged."""

    workspace: Workspace
    context: ModelContext
    batch: DatasetRef
    report: Any
    version: Any
    service: ServiceRef
    run: Run

    def changed(self, owner: str, key: str) -> ModelContext:
        """The declarations with one key changed."""
        parts = {"DatasetSpec": "dataset", "FeatureSpec": "feature_set", "ModelSpec": "model"}
        return replace(self.context, **{parts[owner]: dict(changes(getattr(self.context, parts[owner])))[key]})

    def steps(self, context: ModelContext) -> dict[str, Callable[[], object]]:
        """What needs verdicts, by name."""
        place, run = self.workspace, self.run
        return {
            "publish": lambda: data.publish(place, context.dataset, self.batch, run),
            "register": lambda: registration.register(place, context, self.report, run),
            "package": lambda: release.package(place, context, self.version, run),
            "deploy": lambda: release.deploy(place, context, self.service, run),
        }


@pytest.fixture(scope="module")
def shop(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    project = copy_of(with_models, tmp_path_factory.mktemp("keys") / "project", _catalogue())
    train(project)
    packaged = project.materialize(f"{MODEL}/service")
    assert packaged.success, packaged.error
    project.batches.deliver(MAY)
    with project.active() as workspace:
        context, run = project.context(), Run.new()
        batch = data.ingest(workspace, context.dataset, MAY, run)
        assert all(verdict.passed for verdict in data.audit(workspace, context.dataset, batch, run))
        service = project.reference(f"{MODEL}/service")
        gates = judging.model_gates(workspace, context, "service")
        verdicts = judge(gates, FINE, subject=service.sha256, subject_name=f"{MODEL}/service")
        workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
        watched = workspace.with_(
            ledger=Watched(workspace.ledger), steps=replace(workspace.steps, evaluation_frames=measured)
        )
        report, version = (project.reference(f"{MODEL}/{step}") for step in ("evaluation", "registered_model"))
        yield Shop(watched, context, batch, report, version, service, run)


def _catalogue() -> Catalogue:
    quick = declared(models={MODEL: {}})
    (model,) = quick.models.values()
    dataset, features, whole = specs()
    gates = {"gates": tuple(gate for gate in whole.gates if gate.name in {one.name for one in model.gates})}
    return Catalogue.of([dataset, features, whole.model_copy(update=gates)])


def steps_of(owner: str) -> tuple[str, ...]:
    """The steps that have to notice a change: a batch knows no features and no model."""
    return ("publish", "register", "package", "deploy") if owner == "DatasetSpec" else ("register", "package", "deploy")


@pytest.mark.parametrize(("owner", "key"), WALKED, ids=[f"{owner}.{key}" for owner, key in WALKED])
def test_a_key_that_is_changed_after_judging_lets_nothing_pass_unjudged(shop: Shop, owner: str, key: str) -> None:
    steps = shop.steps(shop.changed(owner, key))
    for name in steps_of(owner):
        with pytest.raises((Again, Refused)):
            steps[name]()
    # Even where the model would pass once more: the package is of what was declared before.
    assert "packaged under other declarations" in release.outdated(
        shop.workspace, shop.changed(owner, key), shop.service
    )


UNWALKED = [key for owner, key in ALL if owner == "ModelSpec" and key.partition(".")[0] in UNJUDGED and key != "gates"]


@pytest.mark.parametrize("key", UNWALKED)
def test_what_decides_no_judgement_revokes_nothing(shop: Shop, key: str) -> None:
    context = shop.changed("ModelSpec", key)
    gates = judging.model_gates(shop.workspace, context, "service")
    assert release.outdated(shop.workspace, context, shop.service) == ""
    approval.require_approved(shop.workspace, context, shop.version, shop.run)
    assert shop.workspace.ledger.require(shop.service.sha256, gates, subject_name=f"{MODEL}/service")


def test_unchanged_declarations_need_no_judgement(shop: Shop) -> None:
    steps = shop.steps(shop.context)
    assert steps["register"]() == shop.version
    assert release.outdated(shop.workspace, shop.context, shop.service) == ""
    steps["publish"]()
