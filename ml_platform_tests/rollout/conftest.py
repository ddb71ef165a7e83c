"""Packages for the supervisor, and a supervisor that is stopped in any case."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import supervisor
from ml_platform.serving.packaging import Packaged
from ml_platform_tests.conftest import ports
from ml_platform_tests.serving.conftest import PROVENANCE, Inputs, inputs, packaged  # noqa: F401


def reference(package: Packaged, version: int, settings: Settings) -> ServiceRef:
    """Reference of a package of the tiny model, which lies among those of these settings."""
    place = settings.local / BENTOS / package.path.name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(package.path)
    return ServiceRef(
        run_id="run",
        provenance=PROVENANCE,
        model="tiny",
        version=version,
        tag=package.tag,
        sha256=package.sha256,
        path=f"{BENTOS}/{place.name}",
        model_sha256="0" * 64,
    )


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """Settings with an own folder and range of ports."""
    return Settings(local=tmp_path / ".local", ports=ports(3500, 50), service_ready_seconds=60)


@pytest.fixture
def first(packaged: Packaged, own: Settings) -> ServiceRef:  # noqa: F811
    return reference(packaged, 1, own)


@pytest.fixture(scope="session")
def newer(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Packaged:  # noqa: F811
    return inputs.package(tmp_path_factory.mktemp("second"), version=2)


@pytest.fixture
def second(newer: Packaged, own: Settings) -> ServiceRef:
    return reference(newer, 2, own)


@pytest.fixture
def supervised(own: Settings) -> Iterator[Callable[[], int]]:
    """Starts the supervisor and gives its pid; stops everything afterwards."""
    try:
        yield lambda: supervisor.ensure_running(own).pid
    finally:
        supervisor.stop_all(own)
