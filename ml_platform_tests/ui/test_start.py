"""Starting and stopping the UI: what can go wrong is said in one line."""

import os
import socket
import time

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


def test_stopping_what_does_not_run_does_nothing(settings: Settings) -> None:
    assert ui.stop(settings) is False


def test_a_recycled_process_id_is_left_alone(settings: Settings) -> None:
    # Every process of this session began before that, so none may count as the UI or be ended.
    created = time.time() + 3600
    record = ui.UiRecord(pid=os.getsid(0), created=created, url="http://127.0.0.1:1")
    path = settings.local / "ui" / "ui.json"
    write_atomic(path, record.model_dump_json())
    assert ui.status(settings) is None
    assert ui.stop(settings) is False
    assert not path.exists()
