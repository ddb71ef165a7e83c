"""Messages reach a webhook and a mail server, or say in one line, without the address, that they did not."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from ml_platform.cli.app import cli
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.live.messages import AlertChannel, Mail, Webhook, alert_channels, send, variables
from ml_platform.orchestration.alerts import alert_sensor
from ml_platform.pipeline.alerts import Alert, tell
from ml_platform.pipeline.workspace import Workspace
from ml_platform.testing.alerts import AlertChannelContract
from ml_platform_tests.conftest import ROOT


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        refused = "/broken" in self.path or self.server.refuses  # type: ignore[attr-defined]
        if not refused:
            self.server.taken.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(500 if refused else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to receive one message."""

    def handle(self) -> None:
        lines: list[str] = self.server.taken  # type: ignore[attr-defined]
        self.wfile.write(b"421 not today\r\n" if self.server.refuses else b"220 here\r\n")  # type: ignore[attr-defined]
        data = False
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            lines.append(line)
            self.wfile.write({"data": b"354 go on\r\n", "quit": b"221 bye\r\n"}.get(line.lower(), b"250 fine\r\n"))
            data = line == "data"
            while data and (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                lines.append(text.removeprefix(".") if text.startswith("..") else text)
            if data:
                self.wfile.write(b"250 taken\r\n")


@pytest.fixture
def servers() -> Iterator[tuple[HTTPServer, socketserver.TCPServer]]:
    hook, mail = HTTPServer(("127.0.0.1", 0), _Hook), socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail)
    for server in (hook, mail):
        server.taken, server.refuses = [], False  # type: ignore[union-attr]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hook, mail
    for server in (hook, mail):
        server.shutdown()
        server.server_close()


def test_both_channels_take_it(servers: tuple[HTTPServer, socketserver.TCPServer]) -> None:
    hook, mail = servers
    webhook = SecretStr(f"http://127.0.0.1:{hook.server_address[1]}/services/secret")
    email = SecretStr(
        f"smtp://127.0.0.1:{mail.server_address[1]}/?from=a@example.org&to=b@example.org&to=c@example.org"
    )
    assert send("m: look at it", {"webhook": Webhook(webhook), "email": Mail(email)}) == {}
    assert hook.taken == [{"text": "m: look at it"}]  # type: ignore[attr-defined]
    sent = "\n".join(mail.taken)  # type: ignore[attr-defined]
    assert "rcpt TO:<b@example.org>" in sent and "rcpt TO:<c@example.org>" in sent
    assert "Subject: m: look at it" in sent


def test_one_channel_that_is_down_costs_the_other_no_second_message(
    servers: tuple[HTTPServer, socketserver.TCPServer], settings: Settings
) -> None:
    hook, mail = servers
    there = f"smtp://127.0.0.1:{mail.server_address[1]}/?from=a@example.org&to=b@example.org"
    down = "smtp://127.0.0.1:9/?from=a@example.org&to=b@example.org"
    posted = SecretStr(f"http://127.0.0.1:{hook.server_address[1]}/")
    alert = Alert("m", "late", "m: nothing came", "1")

    def told(email: str, *alerts: Alert) -> list[str]:
        own = settings.model_copy(update={"alert_webhook": posted, "alert_email": SecretStr(email)})
        return tell(Workspace(own), alerts, kinds=["late"])

    first, second = told(down, alert), told(down, alert)
    assert len(first) == 2 and first[1] == "told: m: nothing came"
    assert second == first[:1] and "ALERT_EMAIL: the message was not taken" in second[0]
    assert told(there, alert) == ["told: m: nothing came"] and told(there, alert) == []
    assert len(hook.taken) == 1 and mail.taken.count("data") == 1  # type: ignore[attr-defined]
    assert told(down) == ["over: m: nothing came"]


def stalled(server: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are made, by the system, and nobody takes them; who waits has little patience."""
    server.shutdown()
    monkeypatch.setattr("ml_platform.live.messages.TIMEOUT", 0.3)


class TestWebhook(AlertChannelContract):
    @pytest.fixture
    def opened(self, servers: tuple[HTTPServer, socketserver.TCPServer]) -> Callable[[], AlertChannel]:
        return lambda: Webhook(SecretStr(f"http://127.0.0.1:{servers[0].server_address[1]}/services/s3cret"))

    @pytest.fixture
    def received(self, servers: tuple[HTTPServer, socketserver.TCPServer]) -> Callable[[], list[str]]:
        return lambda: [one["text"] for one in servers[0].taken]  # type: ignore[attr-defined]

    @pytest.fixture
    def refuse(self, servers: tuple[HTTPServer, socketserver.TCPServer]) -> Callable[[], str]:
        def now() -> str:
            servers[0].refuses = True  # type: ignore[attr-defined]
            return "s3cret"

        return now

    @pytest.fixture
    def stall(
        self, servers: tuple[HTTPServer, socketserver.TCPServer], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], object]:
        return lambda: stalled(servers[0], monkeypatch)


class TestMail(AlertChannelContract):
    @pytest.fixture
    def opened(self, servers: tuple[HTTPServer, socketserver.TCPServer]) -> Callable[[], AlertChannel]:
        port = servers[1].server_address[1]
        return lambda: Mail(SecretStr(f"smtp://127.0.0.1:{port}/?from=a@example.org&to=s3cret@example.org"))

    @pytest.fixture
    def received(self, servers: tuple[HTTPServer, socketserver.TCPServer]) -> Callable[[], list[str]]:
        def texts() -> list[str]:
            lines: list[str] = servers[1].taken  # type: ignore[attr-defined]
            sent = "\r\n".join(lines).split("data\r\n")[1:]
            bodies = [message_from_bytes(one.partition("\r\nQUIT")[0].encode(), policy=policy.default) for one in sent]
            return [str(one.get_content()).strip() for one in bodies]  # type: ignore[attr-defined]

        return texts

    @pytest.fixture
    def refuse(self, servers: tuple[HTTPServer, socketserver.TCPServer]) -> Callable[[], str]:
        def now() -> str:
            servers[1].refuses = True  # type: ignore[attr-defined]
            return "s3cret"

        return now

    @pytest.fixture
    def stall(
        self, servers: tuple[HTTPServer, socketserver.TCPServer], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], object]:
        return lambda: stalled(servers[1], monkeypatch)


class Pager:
    """A channel of a project's own; ``taken`` is whom it told, and the third message breaks it."""

    taken: list[str] = []  # noqa: RUF012

    def __init__(self, settings: Settings) -> None:
        self.key = "s3cret"

    def send(self, text: str) -> None:
        if len(self.taken) == 2:
            raise RuntimeError(f"no answer from https://pager/{self.key}")
        self.taken.append(text)


def test_whoever_lists_the_channels_lists_them_all() -> None:
    """The settings, the sensor and the page for users; a channel that is missing there is found by nobody."""
    assert {f"ML_PLATFORM_{name.upper()}" for name in Settings.model_fields if name.startswith("alert_")} == {
        *variables()
    }
    page = (ROOT / "docs" / "use.md").read_text()
    assert [one for one in variables() if one not in page] == []
    described = alert_sensor(Catalogue.of([])).description or ""
    assert [one for one in variables() if one not in described] == []


class Stalling:
    """A channel that waits for ever, until it is let go."""

    def __init__(self) -> None:
        self.go, self.taken = threading.Event(), list[str]()

    def send(self, text: str) -> None:
        self.go.wait()
        self.taken.append(text)


def test_a_channel_that_stalls_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left, handed nothing more while it waits, and asked again once it came back."""
    monkeypatch.setattr("ml_platform.live.messages.LIMIT", 0.05)
    stalling, other = Stalling(), Stalling()
    other.go.set()
    before = threading.active_count()
    try:
        failed = send("m: one", {"own": stalling, "other": other})
        again = send("m: two", {"own": stalling, "other": other})
        assert failed.keys() == again.keys() == {"own"} and other.taken == ["m: one", "m: two"]
        assert failed["own"].startswith("channel own: the message was not taken within 0.05 seconds; give what")
        assert again["own"].startswith("channel own: an earlier message still waits in it; give what")
        assert threading.active_count() == before + 1
    finally:
        stalling.go.set()
    monkeypatch.setattr("ml_platform.live.messages.LIMIT", 30)
    waiting = [thread for thread in threading.enumerate() if thread.name == "alert own"]
    for thread in waiting:
        thread.join(30)
    assert send("m: three", {"own": stalling}) == {} and stalling.taken == ["m: one", "m: three"]


def own_channels() -> dict[str, Callable[[Settings], AlertChannel]]:
    return {"alerts": Pager}


def test_a_channel_of_ones_own_is_told_too(
    servers: tuple[HTTPServer, socketserver.TCPServer], settings: Settings
) -> None:
    Pager.taken.clear()
    posted = SecretStr(f"http://127.0.0.1:{servers[0].server_address[1]}/")
    own = settings.model_copy(update={"alert_webhook": posted, "adapters": f"{__name__}:own_channels"})
    assert alert_channels(own).keys() == {"webhook", "own"}

    def told(*alerts: Alert) -> list[str]:
        return tell(Workspace(own), alerts, kinds=["late"])

    first, second, third = (Alert(name, "late", f"{name}: nothing came", "1") for name in "abc")
    assert told(first, second) == ["told: a: nothing came", "told: b: nothing came"]
    failed, said = told(first, second, third)
    assert said == "told: c: nothing came" and "s3cret" not in failed
    assert failed.startswith("channel own: the message was not taken (RuntimeError in test_messages.py:")
    Pager.taken.clear()
    assert told(first, second, third) == [said] and Pager.taken == ["c: nothing came"]
    assert [one["text"][0] for one in servers[0].taken] == ["a", "b", "c"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["broken/secret", "gone"])
def test_what_does_not_take_it_is_named_without_the_address(
    servers: tuple[HTTPServer, socketserver.TCPServer], path: str
) -> None:
    port = servers[0].server_address[1] if path != "gone" else 9
    failed = send("m: look", {"webhook": Webhook(SecretStr(f"http://127.0.0.1:{port}/{path}"))})
    assert failed.keys() == {"webhook"} and "ML_PLATFORM_ALERT_WEBHOOK: the message was not taken" in failed["webhook"]
    assert "secret" not in failed["webhook"] and "127.0.0.1" not in failed["webhook"]
    failed = send("m: look", {"email": Mail(SecretStr("smtp://127.0.0.1:9/?from=a@b.org&to=c@d.org"))})
    assert "ML_PLATFORM_ALERT_EMAIL: the message was not taken" in failed["email"]


def test_a_person_tries_the_channels_before_they_are_needed(
    servers: tuple[HTTPServer, socketserver.TCPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried() -> tuple[int, str]:
        get_settings.cache_clear()
        done = CliRunner().invoke(cli, ["test-alert"])
        return done.exit_code, str(done.exception) if isinstance(done.exception, PlatformError) else done.output

    hook, _ = servers
    code, said = tried()
    assert code == 1 and "no channel is set" in said
    for path, code, said in (("taken", 0, "webhook: taken\n"), ("broken", 1, "the message was not taken (500)")):
        address = f"http://127.0.0.1:{hook.server_address[1]}/{path}"
        monkeypatch.setenv("ML_PLATFORM_ALERT_WEBHOOK", address)
        found = tried()
        assert found[0] == code and said in found[1] and address not in found[1]
    assert ["nothing is to be done" in one["text"] for one in hook.taken] == [True]  # type: ignore[attr-defined]
    get_settings.cache_clear()
