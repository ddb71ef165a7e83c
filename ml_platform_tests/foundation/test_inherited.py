"""What a child process is given of the environment."""

import os
import re

import pytest
from pydantic import SecretStr

from ml_platform.foundation.inherited import inherited
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import ServiceOptions
from ml_platform.rollout.control import environment
from ml_platform_tests.conftest import ROOT

#: Modules that start a process with all of this one's variables, and why.
WHOLE = {
    # Dagster's UI runs the steps, which need every setting; a project's own adapters may read any.
    "orchestration/webserver.py",
    "rollout/control.py",
    # The suites of sources and trainers ask a user's own one again, which may read any.
    "testing/elsewhere.py",
}


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "ML_PLATFORM_LEDGER_URL",
        "SHOP_URL",
        "MLFLOW_TRACKING_PASSWORD",
        "GH_TOKEN",
    ],
)
def test_what_is_not_listed_stays_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert name not in inherited()
    assert inherited(name)[name] == "x"


def test_what_every_process_needs_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "LC_ALL", "TZ", "OMP_NUM_THREADS", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "y")
        assert inherited()[name] == "y"
    monkeypatch.setenv("GIT_SSH", "z")
    assert "GIT_SSH" not in inherited() and inherited("GIT_")["GIT_SSH"] == "z"


def test_the_supervisor_is_given_the_settings_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    name, kept = "PGPASSWORD", "for the ledger"
    monkeypatch.setenv(name, kept)
    given = environment(Settings(ledger_url=SecretStr("postgresql://x"), lakefs_secret_key=SecretStr("k")))
    ours = {name.removeprefix("ML_PLATFORM_").lower() for name in given if name.startswith("ML_PLATFORM_")}
    assert ours == {"local", "host", "ports", "router", "service_ready_seconds", *ServiceOptions.model_fields}
    assert name not in given
    own = environment(Settings(adapters="mine:adapters", ledger_url=SecretStr("postgresql://x")))
    assert own[name] == kept and own["ML_PLATFORM_LEDGER_URL"] == "postgresql://x"


def test_no_other_process_is_started_with_everything() -> None:
    starts = re.compile(r"subprocess\.(?:run|Popen|check_output|check_call)\(")
    whole, starting = set(), 0
    for file in (ROOT / "ml_platform").rglob("*.py"):
        text = file.read_text()
        calls = [
            text[found.start() : text.index("\n", text.find(")\n", found.start()))] for found in starts.finditer(text)
        ]
        starting += len(calls)
        if any("env=" not in call for call in calls) or re.search(
            r"dict\(os\.environ\)|\*\*os\.environ|os\.environ \|", text
        ):
            whole.add(file.relative_to(ROOT / "ml_platform").as_posix())
    assert starting >= 8 and os.environ
    assert whole == WHOLE
