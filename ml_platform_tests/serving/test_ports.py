"""A port has one service, also when two start at the same moment."""

import pytest

from ml_platform.serving.process import PortTaken, bind, free_port
from ml_platform_tests.components.shop import free_ports


def test_a_port_is_taken_from_the_moment_it_is_bound() -> None:
    first, last = map(int, free_ports(3).split("-"))
    with bind("127.0.0.1", first):
        with pytest.raises(PortTaken, match=f"port {first} on 127.0.0.1 is taken"):
            bind("127.0.0.1", first)
        # Another process of the machine may have taken one of the others meanwhile.
        assert first < free_port(range(first, last + 1)) <= last
    bind("127.0.0.1", first).close()
