"""Settings are checked when they are read: unknown variables and impossible values are mistakes, in one line."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from ml_platform.foundation.settings import Settings, read_settings
from ml_platform.foundation.variables import OWNER, SettingsMistake, service_options

SHA = "ab" * 32


@pytest.mark.parametrize(("text", "ports"), [("3100", [3100]), ("3100-3102", [3100, 3101, 3102])])
def test_ports_are_one_or_a_range(text, ports):
    assert list(Settings(ports=text).port_range) == ports


@pytest.mark.parametrize("text", ["abc", "", "3100-", "-3100", "3100,3101"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValidationError, match="write a port or a range"):
        Settings(ports=text)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("THREADS", "-3", "greater than or equal to 0 (found '-3')"),
        ("PORTS", "99999", "ports are 1 to 65535"),
        ("PORTS", "0", "ports are 1 to 65535"),
        ("PORTS", "3199-3100", "the first of a range no larger than the last"),
        ("APPROVAL", "persn", "'automatic' or 'person' (found 'persn')"),
        ("NOW", "yesterday", "no ISO time; write e.g. 2013-07-01T00:00:00"),
        ("REPORTS_URL", "127.0.0.1:3001", "no address"),
        ("MLFLOW_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("PATIENCE_SECONDS", "-1", "greater than or equal to 0"),
        ("LAKEFS_TIMEOUT_SECONDS", "nan", "finite"),
        ("SERVICE_READY_SECONDS", "-1", "greater than 0"),
        ("SERVICE_BODY_LIMIT", "0", "greater than 0"),
        ("SERVICE_RATE", "-1", "greater than or equal to 0"),
        ("PREDICTION_LOG_SECONDS", "0", "greater than 0"),
        ("HOST", "", "at least 1 character"),
        ("UI_HOST", "0.0.0.0", "Dagster's UI asks nobody who they are"),
        ("UI_HOST", "ml.example.org", "set ML_PLATFORM_UI_PROXY=true"),
        ("UI_HOST", "::", "leave it at 127.0.0.1"),
    ],
)
def test_a_value_that_cannot_be_is_a_mistake(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ML_PLATFORM_{name}", value)
    with pytest.raises(SettingsMistake) as error:
        read_settings()
    assert str(error.value).startswith(f"ML_PLATFORM_{name}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_KEY_SHA256", "the-very-key", "write the sha256 of each key"),  # pragma: allowlist secret
        ("DAGSTER_POSTGRES_URL", "mysql://me:the-very-key@host/db", "no URL"),  # pragma: allowlist secret
        ("DAGSTER_URL", "https://me:the-very-key@host", "no user name and no password"),  # pragma: allowlist secret
        ("REPORTS_URL", "http://me:the-very-key@127.0.0.1:3001", "no password"),  # pragma: allowlist secret
        ("LAKEFS_ENDPOINT", "https://me:the-very-key@host", "no user name"),  # pragma: allowlist secret
        ("PORTS", "me:the-very-key@host", "write a port or a range"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ML_PLATFORM_{name}", value)
    with pytest.raises(SettingsMistake) as error:
        read_settings()
    assert said in str(error.value)
    assert "the-very-key" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_the_ui_listens_on_this_machine(host: str) -> None:
    assert Settings(ui_host=host).ui_host == host


def test_the_ui_may_be_reached_where_a_proxy_asks_for_a_login() -> None:
    # Addresses at which models are asked have nothing to do with it.
    assert Settings(host="0.0.0.0").ui_host == "127.0.0.1"
    assert Settings(ui_host="0.0.0.0", ui_proxy=True).ui_host == "0.0.0.0"


def test_no_secret_is_shown_with_the_settings() -> None:
    url = "postgresql://me:the-very-key@host/db"  # pragma: allowlist secret
    names = ("ledger_url", "mlflow_tracking_uri", "dagster_postgres_url")
    keys = ("lakefs_secret_key", "lakefs_hook_secret", "ledger_key", "secret_key")
    settings = Settings.model_validate(dict.fromkeys(names, url) | dict.fromkeys(keys, "the-very-key"))
    assert "the-very-key" not in f"{settings!r} {settings} {settings.model_dump_json()} {settings.model_dump()}"
    assert settings.ledger == settings.mlflow_uri == url


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ML_PLATFORM_APROVAL", "ML_PLATFORM_APPROVAL"),
        ("ml_platform_aproval", "ML_PLATFORM_APPROVAL"),
        ("ML_PLATFORM_THREAD", "ML_PLATFORM_THREADS"),
        ("ML_PLATFORM_LEDGER_URI", "ML_PLATFORM_LEDGER_URL"),
        ("ML_PLATFORM_PORT", "ML_PLATFORM_PORTS"),
    ],
)
def test_an_unknown_variable_is_a_mistake_that_names_the_nearest(
    name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "person")
    with pytest.raises(SettingsMistake, match=f"{name} is no setting here; did you mean {nearest}\\?"):
        read_settings()
    monkeypatch.delenv(name)
    read_settings()


def test_every_mistake_is_in_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_PLATFORM_QUITE_ANOTHER_THING", "1")
    monkeypatch.setenv("ML_PLATFORM_APROVAL", "person")
    monkeypatch.setenv("ML_PLATFORM_THREADS", "many")
    with pytest.raises(SettingsMistake) as error:
        read_settings()
    unknown, further, value = str(error.value).split("; ML_PLATFORM_")
    assert unknown == "ML_PLATFORM_APROVAL is no setting here; did you mean ML_PLATFORM_APPROVAL?"
    assert further == "QUITE_ANOTHER_THING is no setting here; only settings begin with ML_PLATFORM_"
    assert value.startswith("THREADS: ")


def test_what_kubernetes_says_of_its_services_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("ML_PLATFORM", "ML_PLATFORM_DAGSTER"):
        for end in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"):
            monkeypatch.setenv(f"{service}_{end}", "x")
    read_settings()
    monkeypatch.delenv("ML_PLATFORM_SERVICE_HOST")
    with pytest.raises(SettingsMistake, match="ML_PLATFORM_PORT is no setting here"):
        read_settings()


def test_settings_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ml_platform_threads", "3")
    assert read_settings().threads == 3


def only(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    """Leave no variable of the platform but these."""
    for name in [name for name in os.environ if name.startswith("ML_PLATFORM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_service_knows_its_own_settings_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, ML_PLATFORM_API_KEY_SHA256=f"{SHA}, {SHA}", ML_PLATFORM_SERVICE_RATE="2.5", **{OWNER: "x"})
    options = service_options()
    assert options.keys == [SHA, SHA]
    assert options.service_rate == 2.5
    # With a mistyped key it would answer to everybody.
    only(monkeypatch, ML_PLATFORM_API_KEY_SHA265=SHA)
    with pytest.raises(SettingsMistake, match=r"did you mean ML_PLATFORM_API_KEY_SHA256\?"):
        service_options()
    only(monkeypatch, ML_PLATFORM_SERVICE_BODY_LIMIT="-1")
    with pytest.raises(SettingsMistake, match="ML_PLATFORM_SERVICE_BODY_LIMIT: "):
        service_options()


def test_what_the_platform_hands_to_a_service_is_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(api_key_sha256=SHA, service_rate=3, service_body_limit=9, prediction_log_seconds=0.5)
    only(monkeypatch, **settings.for_service(prediction_log="/log"))
    found = service_options()
    assert found.model_dump() == {name: getattr(settings, name) for name in type(found).model_fields} | {
        "prediction_log": "/log"
    }


@pytest.mark.parametrize("module", ["ml_platform.rollout.supervisor", "ml_platform.documents.server"])
def test_processes_end_with_one_line(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | {"ML_PLATFORM_APROVAL": "person"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.endswith("ML_PLATFORM_APROVAL is no setting here; did you mean ML_PLATFORM_APPROVAL?")
