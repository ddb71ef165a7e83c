"""Starting and stopping the UI: what can go wrong is said in one line."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.settings import Settings
from ml_platform.orchestration import webserver as ui


def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} .*UI_PORT"):
            ui.start(settings, port)
    assert ui.status(settings) is None


def test_without_a_workspace_the_project_says_where_the_definitions_are(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a project of ``create-dagster``, or one that was put together by hand."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(ui, "_COMMAND", ("-c", "import sys; sys.exit(' '.join(sys.argv[1:]))"))
    with pytest.raises(PlatformError, match=r"no pyproject.toml with \[tool.dg.project\]"):
        ui.start(settings, 1)
    (tmp_path / "pyproject.toml").write_text("[tool.dg.project]\nroot_module = 'shop'\n")
    (tmp_path / "src" / "shop" / "defs").mkdir(parents=True)
    with pytest.raises(PlatformError):
        ui.start(settings, 1)
    asked = (settings.local / "ui" / "ui.log").read_text()
    assert f"--module-name shop.definitions --working-directory {tmp_path / 'src'} --host" in asked


def test_stopping_what_does_not_run_does_nothing(settings: Settings) -> None:
    assert ui.stop(settings) is False


#: Answers as Dagster's web server does, with a process of its own that outlives it.
PAGE = """
import http.server, subprocess, sys
subprocess.Popen(["sleep", "300"])
print("started", flush=True)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200), self.end_headers(), self.wfile.write(b'{"dagster_webserver_version": "1"}')
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), Page).serve_forever()
"""


@pytest.mark.slow
def test_what_was_killed_is_started_again_and_the_log_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui, "_COMMAND", ("-c", PAGE))
    monkeypatch.setenv("DAGSTER_HOME", str(settings.local.parent))
    (settings.local.parent / "workspace.yaml").touch()
    settings = settings.model_copy(update={"reports_url": "https://reports.example"})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        url = ui.start(settings, port)
        first = ui.status(settings)
        assert first is not None and ui.start(settings, port) == url and ui.status(settings) == first
        os.kill(first.pid, signal.SIGKILL)
        left = ui.status(settings)
        assert left == first, "a process of it goes on, and the page does not"
        assert ui.start(settings, port) == url
        second = ui.status(settings)
        assert second is not None and second.pid != first.pid
        assert ui._session(first) == []
        assert (settings.local / "ui" / "ui.log").read_text().count("started") == 2
    finally:
        assert ui.stop(settings)


def test_a_recycled_process_id_is_left_alone(settings: Settings) -> None:
    # Every process of this session began before that, so none may count as the UI or be ended.
    created = time.time() + 3600
    record = ui.UiRecord(pid=os.getsid(0), created=created, url="http://127.0.0.1:1")
    path = settings.local / "ui" / "ui.json"
    write_atomic(path, record.model_dump_json())
    assert ui.status(settings) is None
    assert ui.stop(settings) is False
    assert not path.exists()
