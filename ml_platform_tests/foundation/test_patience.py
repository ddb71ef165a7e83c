"""What is away is waited for as long as is allowed, once, and said so; what says no is not."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from ml_platform.foundation import patience
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.patience import Away, patiently, waiting

WHERE = "a server of the tests"


@pytest.fixture(autouse=True)
def nobody_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process, as at its start."""
    monkeypatch.setattr(patience, "_answered", set())
    monkeypatch.setattr(patience, "_in_vain", {})


class Server:
    """Answers from a moment on; counts how often it was asked."""

    def __init__(self, after: float) -> None:
        self.asked, self._from = 0, time.monotonic() + after

    @patiently(lambda *_: WHERE, pauses=(0.01, 0.05))
    def ask(self) -> int:
        """How often it was asked; raises Away before its time."""
        self.asked += 1
        if time.monotonic() < self._from:
            raise Away(f"{WHERE} does not answer")
        return self.asked

    @patiently(lambda *_: WHERE, pauses=(0.01, 0.05))
    def ask_twice(self) -> int:
        """One wait inside another."""
        return self.ask()


def test_what_comes_back_is_waited_for() -> None:
    server = Server(0.3)
    assert server.ask() > 1
    assert patience.patience(WHERE) == patience.COMMAND_SECONDS
    with waiting(120):
        assert patience.patience(WHERE) == 120
        found: list[float] = []
        thread = threading.Thread(target=lambda: found.append(patience.patience(WHERE)))
        thread.start()
        thread.join()
        assert found == [120], "threads of a step wait as it does"
    assert patience.patience(WHERE) == patience.COMMAND_SECONDS


def test_what_never_answered_is_waited_for_as_by_a_command() -> None:
    with waiting(120):
        assert patience.patience(WHERE) == patience.COMMAND_SECONDS
    with waiting(0.2), pytest.raises(Away):
        Server(60).ask()


def test_whoever_waited_in_vain_waits_once() -> None:
    server = Server(60)
    with waiting(0.3):
        began = time.monotonic()
        with pytest.raises(Away):
            server.ask_twice()
        assert server.asked > 2 and time.monotonic() - began < 5
        asked = server.asked
        with pytest.raises(Away):
            server.ask()
    assert server.asked == asked + 1, "for a while it is asked once"
    assert Server(0).ask() == 1
    assert patience.patience(WHERE) == patience.COMMAND_SECONDS, "it answered: it is waited for again"


def test_a_no_is_not_repeated() -> None:
    asked: list[int] = []

    @patiently(lambda: WHERE)
    def refuse() -> None:
        asked.append(1)
        raise PlatformError("no")

    with pytest.raises(PlatformError, match="no"):
        refuse()
    assert len(asked) == 1


@pytest.fixture
def limited() -> Iterator[None]:
    """Commands that wait for half a second."""
    patience.limit(0.5)
    yield
    patience.limit(patience.COMMAND_SECONDS)


def test_less_patience_may_be_asked_for(limited: None) -> None:
    assert patience.patience(WHERE) == 0.5
    patience.limit(300)
    assert patience.patience(WHERE) == patience.COMMAND_SECONDS, "a command waits no longer than that"


def test_a_wait_says_what_it_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Server(0.3).ask()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and said[0].startswith(f"{WHERE} is away, it is waited for up to ")
