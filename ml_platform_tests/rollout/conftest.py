"""Packages for the supervisor, and a supervisor that is stopped in any case."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.references.refs import ServiceRef
from ml_platform.rollout import supervisor
from ml_platform.serving.packaging import Packaged
from ml_platform_tests.conftest import ports
from ml_platform_tests.serving.conftest import PROVENANCE, Inputs, inputs, packaged  # noqa: F401


def reference(package: Packaged, version: int) -> ServiceRef:
    """Reference of a package of the tiny model."""
    return ServiceRef(
        run_id="run",
        provenance=PROVENANCE,
        model="tiny",
        version=version,
        tag=package.tag,
        sha256=package.sha256,
        path=str(package.path),
        model_sha256="0" * 64,
    )


@pytest.fixture
def first(packaged: Packaged) -> ServiceRef:  # noqa: F811
    return reference(packaged, 1)


@pytest.fixture(scope="session")
def second(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> ServiceRef:  # noqa: F811
    return reference(inputs.package(tmp_path_factory.mktemp("second"), version=2), 2)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """Settings with an own folder and range of ports."""
    return Settings(local=tmp_path / ".local", ports=ports(3500, 50), service_ready_seconds=60)


@pytest.fixture
def supervised(own: Settings) -> Iterator[Callable[[], int]]:
    """Starts the supervisor and gives its pid; stops everything afterwards."""
    try:
        yield lambda: supervisor.ensure_running(own).pid
    finally:
        supervisor.stop_all(own)
