"""The same scaffolded project as for the components."""

from ml_platform_tests.components.conftest import shop_template

__all__ = ["shop_template"]
