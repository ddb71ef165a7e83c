"""Projects whose sensors tick."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ml_platform_tests.project import Project
from ml_platform_tests.sensors.ticks import TWO_MODELS, copied, opened
from ml_platform_tests.shop_project import declared
from ml_platform_tests.undrawn import undrawn

__all__ = ["undrawn"]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what is made once."""
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def ingested(base: Path, tmp_path: Path) -> Project:
    """January to April are published; two models wait to be trained."""
    return copied(base, tmp_path / "project")


@pytest.fixture
def empty(tmp_path: Path) -> Callable[..., Project]:
    """Makes a project in which nothing was ingested; takes the months that wait at the source."""
    return lambda *arrived: opened(tmp_path / "project", declared(models=TWO_MODELS), arrived)
