"""Nothing that is secret is found anywhere but where it was set: everything runs, with canaries in place of secrets."""

import base64
import os
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from ml_platform.foundation.files import sha256_bytes
from ml_platform_tests.components.shop import BIN, MODEL, MONTHS, Shop, free_ports
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.mlflow_server import mlflow_server
from ml_platform_tests.several import several

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

#: What the UI's own pages ask for: every run with its tags and logs, every asset with its metadata, every tick.
QUERY = """{
  runsOrError(limit: 50) { ... on Runs { results { runId runConfigYaml tags { key value }
    eventConnection { events { ... on MessageEvent { message }
      ... on MaterializationEvent { metadataEntries { label ...Entry } }
      ... on ObservationEvent { metadataEntries { label ...Entry } } } } } } }
  assetsOrError { ... on AssetConnection { nodes { key { path }
    assetMaterializations(limit: 5) { metadataEntries { label ...Entry } } } } }
  repositoriesOrError { ... on RepositoryConnection { nodes { displayMetadata { key value }
    assetNodes { description metadataEntries { label ...Entry } }
    sensors { name description metadata { assetKeys { path } } } } } }
  instance { info daemonHealth { allDaemonStatuses { daemonType } } }
}
fragment Entry on MetadataEntry {
  ... on TextMetadataEntry { text } ... on UrlMetadataEntry { url } ... on PathMetadataEntry { path }
  ... on JsonMetadataEntry { jsonString } ... on MarkdownMetadataEntry { mdStr }
  ... on TableMetadataEntry { table { records } } }"""


def canary(what: str) -> str:
    """A value that nothing else contains."""
    return f"canary{what}{secrets.token_hex(12)}"


def test_no_canary_gets_out(shop_template: Shop, postgres_url: str, tmp_path: Path) -> None:
    shop = shop_template.copy(tmp_path / "shop")
    shop.edit(MODEL, "rounds: 200", "rounds: 30")
    for month in MONTHS[:3]:
        shop.deliver(month, 400)
    with mlflow_server(tmp_path / "mlflow") as server:
        port = server.port
        key, password, private = canary("key"), canary("password"), secrets.token_bytes(32)
        address = postgres_url.replace("tests@", f"tests:{password}@")
        settings = {
            "ML_PLATFORM_SECRET_KEY": key,
            "ML_PLATFORM_API_KEY_SHA256": sha256_bytes(key),
            "ML_PLATFORM_LEDGER_URL": address.replace("postgresql:", "postgresql+psycopg:"),
            "ML_PLATFORM_LEDGER_KEY": base64.b64encode(private).decode(),
            "ML_PLATFORM_MLFLOW_TRACKING_URI": f"http://me:{password}@127.0.0.1:{port}",
            **{f"ML_PLATFORM_LAKEFS_{name}": canary(name) for name in ("SECRET_KEY", "HOOK_SECRET")},
            **{name: canary(name) for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "SHOP_DATABASE_URL")},
            "ML_PLATFORM_PORTS": free_ports(),
            "ML_PLATFORM_REPORTS_URL": f"http://127.0.0.1:{free_ports(1).partition('-')[0]}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(shop.root / "src")]),
        }
        hidden = [value for value in settings.values() if value.startswith("canary")]
        hidden += [password, settings["ML_PLATFORM_LEDGER_KEY"], private.hex()]
        assert len(hidden) == 9
        found: dict[str, str] = {}

        def look(where: str, content: str | bytes) -> None:
            text = content if isinstance(content, bytes) else content.encode()
            found.update({f"{where}: {value[:20]}": value for value in hidden if value.encode() in text})

        def ml(*commands: str, ends: int = 0, **environment: str) -> None:
            # Longer than `Shop.run` waits: everything runs beside the tests of other processes.
            done = subprocess.run(
                several(*(command.split() for command in commands)),
                cwd=shop.root,
                env=shop.environment | settings | environment,
                capture_output=True,
                text=True,
                timeout=900,
            )
            assert done.returncode == ends, (commands, done.stdout, done.stderr)
            look(f"output of {', '.join(commands)}", done.stdout + done.stderr)

        began = time.time()
        try:
            ml("run", "status", f"trace {MODEL}", "ledger verify", f"predict {MODEL}")
            # What cannot be reached is named without its password; each waits for it for a while.
            ledger, tracking = f"postgresql+psycopg://me:{password}@127.0.0.1:1/x", f"http://me:{password}@127.0.0.1:1"
            with ThreadPoolExecutor(2) as pool:
                waiting = [
                    pool.submit(ml, "ledger verify", ends=1, ML_PLATFORM_LEDGER_URL=ledger),
                    pool.submit(ml, f"trace {MODEL}", ends=1, ML_PLATFORM_MLFLOW_TRACKING_URI=tracking),
                ]
                for one in waiting:
                    one.result()
            ui = free_ports(1).partition("-")[0]
            ml(f"ui --port {ui}")
            page = f"http://127.0.0.1:{ui}"
            answer = httpx.post(f"{page}/graphql", json={"query": QUERY}, timeout=120)
            assert "errors" not in answer.json(), answer.text[:2000]
            assert f"{MODEL}/model" in answer.text.replace('", "', "/").replace('","', "/")
            look("GraphQL", answer.text)
            assert f"http://127.0.0.1:{port}/#/experiments" in answer.text
            for path in ("/", "/runs", "/server_info"):
                look(f"page {path}", httpx.get(f"{page}{path}", timeout=60).text)
            for report in (shop.root / ".local" / "reports").glob("*.html"):
                shown = httpx.get(f"{settings['ML_PLATFORM_REPORTS_URL']}/{report.name}", timeout=60)
                assert shown.status_code == 200
                look(f"report {report.name}", shown.text)
            first = settings["ML_PLATFORM_PORTS"].partition("-")[0]
            for path in ("/", "/info", "/metrics", "/docs.json", "/schema.json"):
                shown = httpx.get(f"http://127.0.0.1:{first}{path}", headers={"x-api-key": key}, timeout=60)
                assert shown.status_code == 200, (path, shown.text)
                look(f"service {path}", shown.text)
            looked_at = [look_at(process, began, look) for process in psutil.process_iter()]
            assert {"worker.service", "rollout.supervisor", "documents.server"} <= set(looked_at)
        finally:
            ml("ui --stop", "stop")
        dump = subprocess.run(
            [str(next(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"), "pg_dump")), postgres_url], capture_output=True
        )
        look("ledger", dump.stdout)
        files = [file for folder in (shop.root, tmp_path / "mlflow") for file in folder.rglob("*") if file.is_file()]
        assert len(files) > 100 and BIN.exists() and dump.stdout.count(b"verdict") > 10
        for file in files:
            look(str(file.relative_to(tmp_path)), file.read_bytes())
        assert found == {}


def look_at(process: psutil.Process, began: float, look) -> str:  # type: ignore[no-untyped-def]
    """Search command and environment of a process that the platform started; returns which it is.

    Dagster's processes run the steps, which need the settings: of those the command only.
    """
    try:
        if process.create_time() < began - 1 or process.pid == os.getpid():
            return ""
        command = " ".join(process.cmdline())
        look(f"command {command[:80]}", command)
        ours = ("worker.service", "rollout.supervisor", "documents.server", "routers.direct", "/envoy")
        name = next((one for one in ours if one in command), "")
        if name:
            look(f"environment of {name}", "\n".join(process.environ().values()))
    except (psutil.Error, OSError):
        return ""
    return name
