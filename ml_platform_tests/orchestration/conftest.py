"""Months of real flights, sampled once."""

from pathlib import Path

import pytest

from ml_platform_tests.project import sample_months


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a sample of five real months."""
    return sample_months(tmp_path_factory.getbasetemp() / "flights")
