"""Another team's project, scaffolded once for all tests."""

import pytest

from ml_platform_tests.components.shop import Shop, scaffolded


@pytest.fixture(scope="session")
def shop_template(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A scaffolded project that ran nothing; copy it before changing it."""
    return scaffolded(tmp_path_factory.getbasetemp())
