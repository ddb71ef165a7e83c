"""What the steps of the loop work with: store, ledger, MLflow, registry and others, opened when first used."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation import patience
from ml_platform.foundation.clock import clock
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.pipeline.steps import Steps
from ml_platform.sources.source import Source

if TYPE_CHECKING:
    from ml_platform.datasets.store import VersionedStore
    from ml_platform.ledger.ledger import Ledger
    from ml_platform.ledger.verified import AnchorSource
    from ml_platform.references.references import References
    from ml_platform.registry.registry import Registry
    from ml_platform.registry.tracking import Tracking
    from ml_platform.rollout.records import RolloutRecords

T = TypeVar("T")


def _store(workspace: "Workspace") -> "VersionedStore":
    from ml_platform.datasets.factory import open_store

    return open_store(workspace.settings)


def _ledger(workspace: "Workspace") -> "Ledger":
    from ml_platform.ledger.ledger import Ledger

    return Ledger(
        workspace.settings.ledger,
        actor=workspace.settings.actor,
        clock=workspace.now,
        key=workspace.settings.ledger_key.get_secret_value(),
        anchors=workspace.anchors,
    )


def _anchors(workspace: "Workspace") -> "Sequence[AnchorSource]":
    from ml_platform.pipeline.anchors import of_registry, of_store

    def registry() -> "Registry | None":
        # Publishing data waits neither for the import of MLflow nor for its server.
        return workspace.registry if workspace.opened("tracking") or workspace.opened("registry") else None

    return (of_store(lambda: workspace.store), of_registry(registry))


def _references(workspace: "Workspace") -> "References":
    from ml_platform.references.factory import open_references

    return open_references(workspace.settings)


def _tracking(workspace: "Workspace") -> "Tracking":
    from ml_platform.registry.tracking import Tracking

    settings = workspace.settings
    return Tracking(
        settings.mlflow_uri,
        settings.local / "mlflow" / "artifacts",
        timeout=settings.mlflow_timeout_seconds,
    )


def _registry(workspace: "Workspace") -> "Registry":
    from ml_platform.registry.registry import Registry

    return Registry(workspace.tracking)


def _rollouts(workspace: "Workspace") -> "RolloutRecords":
    from ml_platform.rollout.factory import open_records

    return open_records(workspace.settings)


def _feature_codes(spec: FeatureSpec, function: FeatureFunction) -> Sequence[str]:
    from ml_platform.features.code import equal_versions

    return (spec.code_version(), *equal_versions(function))


@dataclass(frozen=True, kw_only=True)
class Ports:
    """How a workspace comes by each thing that it gives to the steps: called once, when it is first asked for."""

    #: The versioned dataset store.
    store: "Callable[[Workspace], VersionedStore]" = _store
    #: The ledger of verdicts and decisions.
    ledger: "Callable[[Workspace], Ledger]" = _ledger
    #: Places that note the ledger's head and length.
    anchors: "Callable[[Workspace], Sequence[AnchorSource]]" = _anchors
    #: The latest reference of every asset.
    references: "Callable[[Workspace], References]" = _references
    #: MLflow's tracking store.
    tracking: "Callable[[Workspace], Tracking]" = _tracking
    #: The model registry.
    registry: "Callable[[Workspace], Registry]" = _registry
    #: Which version of each model answers.
    rollouts: "Callable[[Workspace], RolloutRecords]" = _rollouts
    #: The clock, aware.
    now: "Callable[[Workspace], Callable[[], datetime]]" = field(default=lambda workspace: clock(workspace.settings))
    #: The steps of the loop.
    steps: "Callable[[Workspace], Steps]" = field(default=lambda _: Steps())
    #: Opens the source that a dataset declares.
    source: "Callable[[Workspace], Callable[[DatasetSpec], Source]]" = field(
        default=lambda workspace: lambda spec: spec.load_source(workspace.now)
    )
    #: Loads the feature function that a feature set declares.
    function: "Callable[[Workspace], Callable[[FeatureSpec], FeatureFunction]]" = field(
        default=lambda _: FeatureSpec.load_function
    )
    #: Version of the code that makes the features, then other names for the same.
    feature_codes: "Callable[[Workspace], Callable[[FeatureSpec], Sequence[str]]]" = field(
        default=lambda workspace: lambda spec: _feature_codes(spec, workspace.function(spec))
    )


class Workspace:
    """The platform's services under one set of settings. Cheap to create; opens nothing until it is asked."""

    def __init__(self, settings: Settings | None = None, ports: Ports | None = None) -> None:
        self.settings = settings or get_settings()
        patience.limit(self.settings.patience_seconds)
        self.ports = ports or Ports()
        self._shared: dict[str, Any] = {}

    @classmethod
    def reading(cls) -> "Workspace":
        """One for commands that look: a repository that is missing on a server is named and not made."""
        from ml_platform.datasets.factory import open_store

        return cls(ports=Ports(store=lambda workspace: open_store(workspace.settings, create=False)))

    def with_(self, **given: Any) -> "Workspace":
        """A workspace with other things at these ports (the things themselves); what is not named is this one's.

        Raises TypeError for a name that is no port.
        """
        ours = {name: _of(self, name) for name in Ports.__dataclass_fields__ if name not in given}
        theirs = {name: _always(thing) for name, thing in given.items()}
        return Workspace(self.settings, replace(self.ports, **ours, **theirs))

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """What several steps of a process use together, made when it is first asked for."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    @cached_property
    def store(self) -> "VersionedStore":
        """The versioned dataset store."""
        return self.ports.store(self)

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger of verdicts and decisions."""
        return self.ports.ledger(self)

    @cached_property
    def anchors(self) -> "Sequence[AnchorSource]":
        """Places that note the ledger's head and length."""
        return self.ports.anchors(self)

    def require_whole(self, models: Collection[str], datasets: Collection[str] = ()) -> None:
        """Raise Broken where store or registry speak of another ledger than the one there is, or of more of it.

        For what shows or tells of these datasets and models: a decision that a cut ledger lost is not a pending one.
        """
        # Once it is open its versions are compared, too; what shows only data does not wait for MLflow.
        assert not models or self.registry
        self.ledger.require_whole({*models, *datasets})

    @cached_property
    def references(self) -> "References":
        """The latest reference of every asset."""
        return self.ports.references(self)

    def latest(self, asset: str) -> Any:
        """The latest reference of an unpartitioned asset; None where it was never materialized."""
        try:
            return self.references.load(asset)
        except MissingReference:
            return None

    @cached_property
    def tracking(self) -> "Tracking":
        """MLflow's tracking store."""
        return self.ports.tracking(self)

    @cached_property
    def registry(self) -> "Registry":
        """The model registry."""
        return self.ports.registry(self)

    @cached_property
    def rollouts(self) -> "RolloutRecords":
        """Which version of each model answers; the supervisor follows it."""
        return self.ports.rollouts(self)

    @cached_property
    def now(self) -> Callable[[], datetime]:
        """The one clock, aware: wall time in UTC, or the time that the settings inject."""
        return self.ports.now(self)

    @cached_property
    def steps(self) -> Steps:
        """The steps of the loop."""
        return self.ports.steps(self)

    @cached_property
    def source(self) -> Callable[[DatasetSpec], Source]:
        """Opens the source of a dataset. Raises DeclarationError where there is none."""
        return self.ports.source(self)

    @cached_property
    def function(self) -> Callable[[FeatureSpec], FeatureFunction]:
        """Loads a feature function. Raises DeclarationError where there is none."""
        return self.ports.function(self)

    @cached_property
    def feature_codes(self) -> Callable[[FeatureSpec], Sequence[str]]:
        """Version of the code that makes the features of a set, then other names for the same."""
        return self.ports.feature_codes(self)

    def opened(self, name: str) -> bool:
        """Whether the thing at a port has been asked for already."""
        return name in self.__dict__


def _of(workspace: Workspace, name: str) -> Callable[[Workspace], Any]:
    return lambda _: getattr(workspace, name)


def _always(thing: T) -> Callable[[Workspace], T]:
    return lambda _: thing
