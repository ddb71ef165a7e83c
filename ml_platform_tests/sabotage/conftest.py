"""Months of real flights that are ingested once, and copies of that for each break."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform_tests.prepared import once
from ml_platform_tests.project import MAY, MONTHS, Project, copy_of, ingested, new_project
from ml_platform_tests.undrawn import undrawn

__all__ = ["undrawn"]

pytest.register_assert_rewrite("ml_platform_tests.sabotage.models", "ml_platform_tests.sabotage.packages")


@pytest.fixture(scope="session")
def four_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which January to April are published, with features."""
    return ingested(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def five_months(four_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with May, on which models are measured."""

    def make(folder: Path) -> None:
        project = copy_of(four_months, folder)
        project.batches.deliver(MAY)
        outcome = project.ingest(MAY)
        assert outcome.success, outcome.error

    return once(tmp_path_factory.getbasetemp(), "ingested-with-may", make)


@pytest.fixture(scope="module")
def shop(five_months: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with five months, in which each test of a module trains models of its own names."""
    folder = tmp_path_factory.mktemp("shop")
    yield copy_of(five_months, folder / "project")
    shutil.rmtree(folder)


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    """A copy of it with the declarations of the example."""
    return copy_of(four_months, tmp_path / "project")


@pytest.fixture
def project_of(four_months: Path, tmp_path: Path) -> Callable[..., Project]:
    """Copies of it with other declarations."""
    return lambda catalogue, **environment: _copy(four_months, tmp_path, catalogue, environment)


@pytest.fixture
def two_months(four_months: Path, tmp_path: Path) -> Callable[[Catalogue], Project]:
    """Projects with other declarations in which nothing was ingested; January and February wait at the source."""
    waiting, originals = MONTHS[:2], four_months.parent / "flights"
    return lambda catalogue: new_project(tmp_path / "project", originals, catalogue, arrived=waiting)


def _copy(folder: Path, tmp_path: Path, catalogue: Any, environment: dict[str, str]) -> Project:
    return copy_of(folder, tmp_path / f"project{len(list(tmp_path.iterdir()))}", catalogue, **environment)
