"""From one answer, or a time, back to the version, the history and the data."""

import json
import time
import urllib.request
from pathlib import Path

import pytest

from ml_platform_tests.cli.conftest import Ended, Invoke, only_line
from ml_platform_tests.components.shop import APRIL, MODEL, MONTHS

pytestmark = pytest.mark.slow


def ask(invoke: Invoke, tmp_path: Path, request_id: str) -> dict[str, str]:
    """Send two rows of April to the live service; the headers of the answer."""
    from ml_platform.cli.services import live_url, rows_of
    from ml_platform.declarations.context import ModelContext
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.workspace import Workspace

    assert invoke("status").code == 0  # leaves the settings of the project in this process
    workspace = Workspace()
    rows = rows_of(workspace, ModelContext.of(project_catalogue(), MODEL), APRIL, 2)
    request = urllib.request.Request(
        f"{live_url(workspace, MODEL)}/predict",
        json.dumps({"rows": rows}).encode(),
        {"content-type": "application/json", "x-request-id": request_id},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}


def traced(invoke: Invoke, *arguments: str) -> Ended:
    """The command, once the log is written."""
    for _ in range(60):
        ended = invoke("trace", *arguments)
        if ended.code == 0:
            break
        time.sleep(0.5)
    return ended


def test_an_answer_leads_back_to_history_and_dataset_commits(invoke: Invoke, tmp_path: Path) -> None:
    headers = ask(invoke, tmp_path, "order-7")
    result = tmp_path / "trace.json"
    ended = traced(invoke, "--request", headers["x-ml-request-id"], "--json", str(result))
    assert ended.code == 0, ended.err
    for text in (headers["x-ml-request-id"], "2 rows answered", "until 2024-04-30", "version 1 (approved)"):
        assert text in ended.out, text
    (found,) = json.loads(result.read_text())
    first = found["rows"][0]
    assert (first["client_request_id"], first["history_sha256"]) == ("order-7", headers["x-history-sha256"])
    assert len(first["features_sha256"]) == 64
    assert [part["partition"] for part in found["history"]["data"]] == list(MONTHS)
    commits = {entry["partition"]: entry["dataset_commit"] for entry in found["origin"]["train"]}
    assert all(part["commit"] == commits.get(part["partition"], part["commit"]) for part in found["history"]["data"])
    assert {verdict["about"] for verdict in found["origin"]["verdicts"]} == {"split", "model", "service"}
    # The caller's id finds it too, and a model limits the search.
    assert traced(invoke, MODEL, "--request", "order-7").out == ended.out


def test_a_time_leads_back_to_the_version_that_answered_then(invoke: Invoke, tmp_path: Path) -> None:
    result = tmp_path / "trace.json"
    ended = invoke("trace", MODEL, "--at", "2100-01-01", "--json", str(result))
    assert ended.code == 0 and "version 1 answered then" in ended.out
    assert json.loads(result.read_text())["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--request", "nobody-asked"), 1, "no prediction log has the request 'nobody-asked'"),
        ((MODEL, "--at", "1999-01-01T00:00:00"), 1, "no version had been promoted by 1999-01-01"),
        ((MODEL, "--at", "yesterday"), 2, "'yesterday' is no ISO time"),
        (("--at", "2024-01-01"), 2, "give a model"),
        (("--request", "a", "--at", "2024-01-01"), 2, "give a model"),
    ],
)
def test_what_cannot_be_traced_is_one_line(invoke: Invoke, arguments: tuple[str, ...], code: int, reason: str) -> None:
    ended = invoke("trace", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert reason in only_line(ended.err)
