"""What everything that brings alerts to people does: subclass :class:`AlertChannelContract` and give it fixtures."""

from collections.abc import Callable
from threading import Thread
from time import monotonic

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import shown
from ml_platform.live.messages import AlertChannel
from ml_platform.testing.attributes import told_of

#: Seconds after which a sensor that tells somebody is late with everything else.
PATIENCE = 30


class AlertChannelContract:
    """The tests of an alert channel, for one of one's own too.

    Fixtures: ``opened`` opens the channel; ``received`` returns the texts that arrived so far, in their order;
    ``refuse`` lets the other end take nothing from now on, and returns what of its address is secret.
    """

    def test_a_message_arrives_once(
        self, opened: Callable[[], AlertChannel], received: Callable[[], list[str]]
    ) -> None:
        """Through one that was opened anew, too: nothing else is sent, and two equal messages are two."""
        channel = opened()
        assert received() == [], "something was sent before anything was to be told"
        for text in ("m: one", "m: two", "m: two"):
            channel.send(text)
        opened().send("m: three")
        assert received() == ["m: one", "m: two", "m: two", "m: three"]

    def test_any_text_arrives_whole(
        self, opened: Callable[[], AlertChannel], received: Callable[[], list[str]]
    ) -> None:
        """Whatever words of datasets, errors and commands are in it, and however long it is."""
        texts = [
            "März: 5 % of \"größe\" ≥ 3; see ml-platform why 'm'",
            "{name} %s %(x)s \\n <b>&amp;</b> *x* `y` #1 😀",
            ".",
            "m: " + "a column with a long name, " * 300 + "end",
        ]
        for text in texts:
            opened().send(text)
        assert received() == texts

    @pytest.fixture
    def stall(self) -> Callable[[], object] | None:
        """What lets the other end take the connection from now on and answer nothing; None: there is no other end."""
        return None

    def test_who_gets_no_answer_gives_up(
        self, opened: Callable[[], AlertChannel], stall: Callable[[], object] | None
    ) -> None:
        """With a PlatformError of one line: what waits for ever holds up the sensor, and every other alert."""
        if stall is None:
            pytest.skip("give the contract a fixture `stall`, where the channel waits for somebody")
        channel, ended = opened(), list[BaseException | None]()
        stall()

        def send() -> None:
            try:
                channel.send("m: look at it")
            except BaseException as error:
                ended.append(error)
            else:
                ended.append(None)

        waiting = Thread(target=send, daemon=True)
        waiting.start()
        waiting.join(PATIENCE)
        assert ended, "it waits for an answer that never comes; give what it calls a timeout"
        assert isinstance(ended[0], PlatformError), f"without an answer it gives {shown(ended[0])}; raise PlatformError"
        assert "\n" not in str(ended[0]), "the message is one line"

    def test_what_is_not_taken_is_said(self, opened: Callable[[], AlertChannel], refuse: Callable[[], str]) -> None:
        """In one line without the secret, soon: it is then handed over again at the next tick."""
        channel, secret, began = opened(), refuse(), monotonic()
        with pytest.raises(PlatformError) as error:
            channel.send("m: look at it")
        assert monotonic() - began < PATIENCE, "a message that is not taken holds everything up"
        said = str(error.value)
        assert "\n" not in said and secret not in said, "what it says of a failure is one line without the secret"
        behind = [one for one in told_of(error.value) if secret in one]
        assert not behind, "the error that is the reason names the secret; raise it `from None`"
        assert secret not in repr(channel), "the secret is in its repr, which logs show"
