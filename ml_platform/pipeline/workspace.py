"""What the steps of the loop work with: store, ledger, MLflow and registry, opened when first used."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings, get_settings

if TYPE_CHECKING:
    from ml_platform.datasets.store import VersionedStore
    from ml_platform.ledger.ledger import Ledger
    from ml_platform.ledger.verified import AnchorSource
    from ml_platform.references.references import References
    from ml_platform.registry.registry import Registry
    from ml_platform.registry.tracking import Tracking

T = TypeVar("T")


class Workspace:
    """The platform's services under one set of settings. Cheap to create; opens nothing until it is asked."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()
        self._shared: dict[str, Any] = {}

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """What several steps of a process use together, made when it is first asked for."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    @cached_property
    def store(self) -> "VersionedStore":
        """The versioned dataset store."""
        from ml_platform.datasets.factory import open_store

        return open_store(self.settings)

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger of verdicts and decisions."""
        from ml_platform.ledger.ledger import Ledger

        return Ledger(
            self.settings.ledger,
            actor=self.settings.actor,
            clock=self.now,
            key=self.settings.ledger_key.get_secret_value(),
            anchors=self.anchors,
        )

    @cached_property
    def anchors(self) -> "Sequence[AnchorSource]":
        """Places that note the ledger's head and length."""
        from ml_platform.pipeline.anchors import of_registry, of_store

        return (of_store(lambda: self.store), of_registry(self._opened_registry))

    @cached_property
    def references(self) -> "References":
        """The latest reference of every asset."""
        from ml_platform.references.factory import open_references

        return open_references(self.settings)

    @cached_property
    def tracking(self) -> "Tracking":
        """MLflow's tracking store."""
        from ml_platform.registry.tracking import Tracking

        return Tracking(
            self.settings.mlflow_uri,
            self.settings.local / "mlflow" / "artifacts",
            timeout=self.settings.mlflow_timeout_seconds,
            retries=self.settings.mlflow_max_retries,
        )

    @cached_property
    def registry(self) -> "Registry":
        """MLflow's model registry."""
        from ml_platform.registry.registry import Registry

        return Registry(self.tracking)

    def _opened_registry(self) -> "Registry | None":
        """The registry where MLflow is open already: publishing data waits for neither its import nor a server."""
        return self.registry if {"tracking", "registry"} & self.__dict__.keys() else None

    def now(self) -> datetime:
        """The one clock: wall time in UTC, or the time that the settings inject."""
        if not self.settings.now:
            return datetime.now(UTC)
        try:
            moment = datetime.fromisoformat(self.settings.now)
        except ValueError:
            raise PlatformError(
                f"ML_PLATFORM_NOW: {self.settings.now!r} is not an ISO time; write e.g. 2013-07-01T00:00:00"
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
