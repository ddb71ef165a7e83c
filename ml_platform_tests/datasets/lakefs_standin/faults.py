"""Failures that a test orders from the stand-in."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose ``METHOD path`` matches ``where``.

    ``none``: nothing but what ``first`` and ``then`` do. ``answer``: ``status`` instead of acting. ``acted``: acts,
    then answers ``status``. ``lost``: acts, then closes the connection without an answer. ``slow``: waits ``seconds``
    in the middle of the answer. ``cut``: closes the connection in the middle of the answer. ``flip``: one bit of the
    answer is wrong. ``rot``: one bit of what is uploaded is stored wrong.
    """

    where: str
    kind: Literal["none", "answer", "acted", "lost", "slow", "cut", "flip", "rot"] = "answer"
    status: int = 503
    message: str = "ordered by the test"
    times: int = 1
    seconds: float = 0
    headers: dict[str, str] = field(default_factory=dict)
    #: What else happens on the server before it acts, as by another client that was faster.
    first: Callable[[], object] | None = None
    #: What else happens on the server once it acted.
    then: Callable[[], object] | None = None
    #: How many requests it has struck.
    struck: int = 0


class Faults:
    """The ordered failures, struck in order."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, fault: Fault) -> Fault:
        with self._lock:
            self._ordered.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._ordered.clear()

    def strike(self, request: str) -> Fault | None:
        with self._lock:
            for fault in self._ordered:
                if fault.struck < fault.times and re.search(fault.where, request):
                    fault.struck += 1
                    return fault
        return None
