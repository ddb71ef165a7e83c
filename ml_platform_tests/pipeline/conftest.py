"""The shop with its months ingested, and with its models registered: each made once, to be copied."""

from pathlib import Path

import pytest

from ml_platform_tests.shop_project import ingested, registered
from ml_platform_tests.undrawn import undrawn

__all__ = ["undrawn"]


@pytest.fixture(scope="session")
def four_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which January to April are published, with features."""
    return ingested(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def with_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with version 1 of both models registered."""
    return registered(tmp_path_factory.getbasetemp())
