"""Months of real flights, as the copied project declares them, and a project in which they are ingested once."""

from pathlib import Path

import pytest

from ml_platform_tests.project import ingested
from ml_platform_tests.project import originals as sampled


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of the real months."""
    return sampled(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def four_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which January to April are published, with features."""
    return ingested(tmp_path_factory.getbasetemp())
