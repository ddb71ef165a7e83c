"""What is proven is not looked at."""

from ml_platform_tests.undrawn import undrawn

__all__ = ["undrawn"]
