"""What the sabotages of a service share: its gates, and packaging with another entry module."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ml_platform.proving import faults
from ml_platform.serving.packaging import Packaged

SERVICE_GATES = ("servability", "skew", "bad_input")
Package = Callable[..., Packaged]


def entered(fault: str, **options: Any) -> Callable[[Package], Package]:
    """Packages that are entered through a fault, with the numbers that it asks for."""
    return lambda package: partial(package, entry=f"{faults.__name__}.{fault}", options=options)
