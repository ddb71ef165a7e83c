"""Messages reach a webhook and a mail server, or say in one line, without the address, that they did not."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import SecretStr

from ml_platform.foundation.settings import Settings
from ml_platform.live.messages import send
from ml_platform.pipeline.alerts import Alert, tell
from ml_platform.pipeline.workspace import Workspace


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(500 if "/broken" in self.path else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to receive one message."""

    def handle(self) -> None:
        lines: list[str] = self.server.taken  # type: ignore[attr-defined]
        self.wfile.write(b"220 here\r\n")
        data = False
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            lines.append(line)
            self.wfile.write({"data": b"354 go on\r\n", "quit": b"221 bye\r\n"}.get(line.lower(), b"250 fine\r\n"))
            data = line == "data"
            while data and (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                lines.append(text)
            if data:
                self.wfile.write(b"250 taken\r\n")


@pytest.fixture
def servers() -> Iterator[tuple[HTTPServer, socketserver.TCPServer]]:
    hook, mail = HTTPServer(("127.0.0.1", 0), _Hook), socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail)
    for server in (hook, mail):
        server.taken = []  # type: ignore[union-attr]
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
    assert send("m: look at it", {"webhook": webhook, "email": email}) == {}
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


@pytest.mark.parametrize("path", ["broken/secret", "gone"])
def test_what_does_not_take_it_is_named_without_the_address(
    servers: tuple[HTTPServer, socketserver.TCPServer], path: str
) -> None:
    port = servers[0].server_address[1] if path != "gone" else 9
    failed = send("m: look", {"webhook": SecretStr(f"http://127.0.0.1:{port}/{path}")})
    assert failed.keys() == {"webhook"} and "ML_PLATFORM_ALERT_WEBHOOK: the message was not taken" in failed["webhook"]
    assert "secret" not in failed["webhook"] and "127.0.0.1" not in failed["webhook"]
    failed = send("m: look", {"email": SecretStr("smtp://127.0.0.1:9/?from=a@b.org&to=c@d.org")})
    assert "ML_PLATFORM_ALERT_EMAIL: the message was not taken" in failed["email"]
