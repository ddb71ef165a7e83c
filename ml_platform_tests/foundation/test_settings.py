"""Settings are checked when they are read."""

import pytest
from pydantic import ValidationError

from ml_platform.foundation.settings import Settings


@pytest.mark.parametrize(("text", "ports"), [("3100", [3100]), ("3100-3102", [3100, 3101, 3102])])
def test_ports_are_one_or_a_range(text, ports):
    assert list(Settings(ports=text).port_range) == ports


@pytest.mark.parametrize("text", ["abc", "", "3100-", "-3100", "3100,3101"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValidationError, match="write a port or a range"):
        Settings(ports=text)
