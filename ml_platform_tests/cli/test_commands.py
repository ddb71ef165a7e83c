"""The commands on a project that ran: what they print, write and end with."""

import gc
import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import dagster as dg
import pytest
from filelock import FileLock

from ml_platform.cli import app, status, trace
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.loading import project_catalogue
from ml_platform.pipeline import rollout
from ml_platform_tests.cli.conftest import Invoke, RanShop, only_line
from ml_platform_tests.components.shop import APRIL, BIN, DATASET, JANUARY, MARCH, MODEL, MONTHS

GATES = 11 * len(MONTHS) + 10
#: The same where each partition's gates count once.
GATES_OF_ONE = 11 + 10


def backup(ran: RanShop, folder: Path) -> Path:
    """A copy of the project's ledger."""
    copy = folder / "ledger.db"
    with sqlite3.connect(ran.shop.root / ".local" / "ledger.db") as source, sqlite3.connect(copy) as target:
        source.backup(target)
    target.close()
    return copy


def test_help_is_fast_and_loads_no_dagster() -> None:
    code = (
        "import sys; sys.argv = ['ml-platform', '--help']\n"
        "from ml_platform.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print(sorted({'dagster', 'mlflow', 'polars', 'pandera', 'xgboost'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"
    assert "Usage: ml-platform" in done.stdout
    assert "--debug" in done.stdout


def test_a_command_looks_for_garbage_seldom_whatever_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_threshold()
    monkeypatch.setattr(sys, "argv", ["ml-platform", "--version"])
    gc.set_threshold(700, 10, 10)
    try:
        with pytest.raises(SystemExit):
            app()
        assert gc.get_threshold() == (10_000, 10, 10)
    finally:
        gc.set_threshold(*before)


def test_run_ends_with_everything_that_counts(ran: RanShop) -> None:
    for text in (
        *MONTHS,
        "8 passed",
        "3 passed",
        "auc on the holdout",
        "1 (approved)",
        "http://127.0.0.1:",
        "by version 1",
    ):
        assert text in ran.out, text
    assert "new: " in ran.out
    assert "BetaWarning" not in ran.err


def test_a_second_run_with_nothing_new_says_so(invoke: Invoke, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    code, out, err = invoke("run", "--from", JANUARY, "--to", APRIL, "--json", str(result))
    assert code == 0, out + err
    assert "nothing new: 0 commits, 0 versions, 0 ledger entries" in out
    written = json.loads(result.read_text())
    assert written["success"] is True
    assert written["new"] == {"commits": 0, "versions": 0, "ledger": 0}
    assert written["models"][MODEL]["version"] == 1
    assert [row["partition"] for row in written["datasets"]["orders"]] == list(MONTHS)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("--from", "2024-02-15"),
            "no source has a partition 2024-02-15 (that day lies in 2024-02-01); there are 4, 2024-01-01 to 2024-04-01",
        ),
        (("--to", "2025-01-01"), "no source has a partition 2025-01-01"),
    ],
)
def test_a_partition_that_is_not_there_is_one_line(invoke: Invoke, arguments: tuple[str, ...], reason: str) -> None:
    code, out, err = invoke("run", *arguments)
    assert (code, out) == (1, "")
    assert reason in only_line(err)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("--from", "2013-13-01"),
            "--from: partition '2013-13-01' is not an ISO date; take one of the form 2024-01-01",
        ),
        (
            ("--from", APRIL, "--to", JANUARY),
            "--from 2024-04-01 lies after --to 2024-01-01; take them the other way round",
        ),
        (("--to", "April"), "--to: partition 'April' is not an ISO date; take one of the form 2024-01-01"),
    ],
)
def test_what_is_no_partition_is_bad_usage(invoke: Invoke, arguments: tuple[str, ...], reason: str) -> None:
    code, out, err = invoke("run", *arguments)
    assert (code, out, only_line(err)) == (2, "", f"ml-platform: {reason}")


def test_trace_of_content_that_nobody_knows_is_one_line(invoke: Invoke, ran: RanShop) -> None:
    code, out, err = invoke("trace", "--from-dataset", "deadbeef")
    assert (code, out) == (1, "")
    assert only_line(err) == "ml-platform: no content begins with 'deadbeef'; see ml-platform data log DATASET"
    entry = json.loads(invoke("trace", MODEL, "--json", "-")[1])["train"][0]
    code, out, err = invoke("trace", "--from-dataset", entry["dataset_sha256"][:10])
    assert (code, MODEL in out) == (0, True), err


def test_a_second_run_at_the_same_time_is_refused(invoke: Invoke, ran: RanShop) -> None:
    with FileLock(ran.shop.root / ".local" / "run.lock"):
        code, _, err = invoke("run")
    assert code == 1
    assert only_line(err).startswith("ml-platform: another ml-platform run is under way here")


def test_check_passes_and_collapses_what_passed(invoke: Invoke, ran: RanShop, tmp_path: Path) -> None:
    result, junit = tmp_path / "gates.json", tmp_path / "gates.xml"
    code, out, _ = invoke("check", "--json", str(result), "--junit", str(junit))
    assert code == 0, out
    assert f"{GATES} gates applied: {GATES} passed, 0 warn, 0 block" in out
    # One line for each gate, and the one that says what had nothing to compare with.
    assert out.count("orders/batch") == 8 + 1
    assert "4 of 4" in out
    rows = json.loads(result.read_text())
    assert len(rows) == GATES
    assert {row["status"] for row in rows} == {"passed"}
    assert {row["partition"] for row in rows if row["asset"] == "orders/batch"} == set(MONTHS)
    assert all(len(row["subject"]) == 64 for row in rows)
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == (str(GATES), "0")
    assert len(suite.findall("testcase")) == GATES
    # It can be repeated, and is seen in the UI as a run with the verdicts of each partition.
    again = invoke("check", "--all")
    assert again.code == 0
    assert again.out.count("orders/batch") == 8 * len(MONTHS) + 1
    with dg.DagsterInstance.get() as instance:
        (latest, before) = instance.get_run_records(dg.RunsFilter(job_name="ml_platform_check"), limit=2)
        assert latest.dagster_run.status == before.dagster_run.status == dg.DagsterRunStatus.SUCCESS
        shown = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(["orders", "batch"]), "volume"), limit=4
        )
        assert {item.partition for item in shown} == set(MONTHS)
        assert {item.run_id for item in shown} == {latest.dagster_run.run_id}


def test_check_fails_where_a_stricter_gate_does_not_hold(ran: RanShop, invoke: Invoke, tmp_path: Path) -> None:
    junit, result = tmp_path / "gates.xml", tmp_path / "gates.json"
    # A ledger of its own: the verdict under another threshold is not for the other tests.
    ledger = {"ML_PLATFORM_LEDGER_URL": f"sqlite:///{backup(ran, tmp_path)}"}
    declared = ran.shop.defs / MODEL / "defs.yaml"
    text = declared.read_text()
    try:
        declared.write_text(text.replace("metric: auc, min: 0.55", "metric: auc, min: 0.999"))
        code, out, _ = invoke("check", "--model", MODEL, "--junit", str(junit), "--json", str(result), **ledger)
    finally:
        declared.write_text(text)
    assert code == 1, out
    assert f"{GATES - 1} passed, 0 warn, 1 block" in out
    failures = ElementTree.parse(junit).getroot().findall(".//failure")
    assert [failure.get("type") for failure in failures] == ["failed"]
    assert "at least 0.999 asked for" in (failures[0].get("message") or "")
    (failed,) = [row for row in json.loads(result.read_text()) if row["status"] != "passed"]
    assert (failed["gate"], failed["asset"]) == ("performance_auc", f"{MODEL}/evaluation")


def test_check_without_evidence_fails(shop_template: object, invoke: Invoke, tmp_path: Path) -> None:
    code, out, _ = invoke("check", ML_PLATFORM_LOCAL=str(tmp_path / "empty"))
    assert code == 1
    assert "21 gates applied: 0 passed, 0 warn, 21 block" in out
    assert "nothing was ever ingested" in out


def test_check_of_a_pull_request_leaves_no_trace(invoke: Invoke, ran: RanShop, tmp_path: Path) -> None:
    before = (invoke("ledger", "verify").out, invoke("data", "log").out)
    comment, result = tmp_path / "gates.md", tmp_path / "gates.json"
    code, out, _ = invoke("check", "--branch", "pr-1", "--markdown", str(comment), "--json", str(result))
    # Its live route is not a pull request's.
    assert code == 0, out
    assert f"{GATES - 1} gates applied: {GATES - 1} passed, 0 warn, 0 block" in out
    assert comment.read_text().startswith(f"## Gates: passed\n\n{GATES - 1} gates: {GATES - 1} passed")
    assert {row["asset"] for row in json.loads(result.read_text())} >= {"orders/batch", f"{MODEL}/service"}
    assert (invoke("ledger", "verify").out, invoke("data", "log").out) == before


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ML_PLATFORM_REPOSITORY": "empty"}, "repository empty has no published batch of orders"),
        ({"ML_PLATFORM_STORE": "lakefs"}, "ML_PLATFORM_LAKEFS"),
    ],
)
def test_a_bare_runner_has_no_evidence_and_says_so_in_every_report(
    invoke: Invoke, tmp_path: Path, settings: dict[str, str], reason: str
) -> None:
    comment, junit = tmp_path / "gates.md", tmp_path / "gates.xml"
    code, out, _ = invoke("check", "--branch", "pr-1", "--markdown", str(comment), "--junit", str(junit), **settings)
    assert code == 1 and f"{GATES_OF_ONE - 1} block" in out
    assert "## Gates: failed" in comment.read_text()
    errors = ElementTree.parse(junit).getroot().findall(".//error")
    assert len(errors) == GATES_OF_ONE - 1 and all(reason in (error.get("message") or "") for error in errors)


def test_trace_leads_back_to_data_and_code(invoke: Invoke, tmp_path: Path) -> None:
    result = tmp_path / "trace.json"
    code, out, _ = invoke("trace", MODEL, "--json", str(result))
    assert code == 0
    for text in ("http://127.0.0.1:", "version 1 (approved)", "MLflow run", "train", "holdout", "11 gates passed"):
        assert text in out, text
    found = json.loads(result.read_text())
    assert [entry["partition"] for entry in found["train"]] == list(MONTHS[:3])
    assert [entry["partition"] for entry in found["holdout"]] == [APRIL]
    assert all(len(entry["verdicts"]) == 11 for entry in found["train"])
    assert {verdict["status"] for verdict in found["verdicts"]} == {"passed"}
    assert len(found["verdicts"]) == 10
    for target in (f"{MODEL}@champion", f"{MODEL}@1", f"{MODEL}@v1"):
        assert invoke("trace", target).out == out, target


def test_trace_marks_verdicts_of_gates_that_are_declared_no_more(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, dropped, kept, own = (
        tmp_path / "trace.json",
        "disjoint",
        "time_order",
        "ml_platform_tests.gates.test_weak:alike",
    )

    def changed() -> Catalogue:
        catalogue = project_catalogue()
        spec = catalogue.models[MODEL]
        gates = [
            gate.model_copy(update={"gate": own}) if gate.name == kept else gate
            for gate in spec.gates
            if gate.name != dropped
        ]
        return replace(catalogue, models={MODEL: spec.model_copy(update={"gates": tuple(gates)})})

    monkeypatch.setattr(trace, "project_catalogue", changed)
    _, out, _ = invoke("trace", MODEL, "--json", str(result))
    found = {verdict["gate"]: verdict for verdict in json.loads(result.read_text())["verdicts"]}
    assert [name for name, verdict in found.items() if verdict.get("undeclared")] == [dropped]
    assert found[kept]["kind"] == own and len(found[kept]["code"]) == 12
    told = " ".join(out.split())
    assert f"split {dropped} (no gate of this name is declared any more): passed" in told
    assert f"split {kept} ({own}, its code now {found[kept]['code']}): passed" in told


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        ("nope", 2, f"there is no model 'nope'; declared: {MODEL}"),
        (f"{MODEL}@7", 1, "has no version 7"),
        (f"{MODEL}@nope", 1, "has no alias nope"),
    ],
)
def test_trace_of_what_is_not_there_is_one_line(invoke: Invoke, target: str, code: int, reason: str) -> None:
    ended = invoke("trace", target)
    assert (ended.code, ended.out) == (code, "")
    assert reason in only_line(ended.err)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((MODEL,), 2, f"give MODEL@VERSION or MODEL@ALIAS; models: {MODEL}"),
        ((f"{MODEL}@7",), 1, "7"),
        ((f"{MODEL}@1",), 1, "trained outside a Git work tree, so its code is not known"),
    ],
)
def test_replay_of_what_cannot_be_made_again_is_one_line(
    invoke: Invoke, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    ended = invoke("replay", *arguments)
    assert ended.code == code and reason in only_line(ended.err)


def test_what_is_shown_and_checked_is_limited_by_the_same_options(invoke: Invoke) -> None:
    found = json.loads(invoke("status", "--model", MODEL, "--json", "-").out)
    assert (list(found["datasets"]), list(found["models"])) == ([DATASET], [MODEL])
    assert json.loads(invoke("status", "--dataset", DATASET, "--json", "-").out)["models"].keys() == {MODEL}
    assert invoke("check", "--dataset", DATASET).code == 0
    for command in ("status", "check", "run", "refresh"):
        ended = invoke(command, "--model", f"{MODEL}s")
        assert ended.code == 2
        assert f"--model: there is no '{MODEL}s'; declared: {MODEL}; did you mean '{MODEL}'?" in only_line(ended.err)


def test_predict_rows_of_a_partition_and_of_a_file(invoke: Invoke, tmp_path: Path) -> None:
    code, out, _ = invoke("predict", MODEL, "--partition", MARCH, "--limit", "3")
    assert code == 0
    answer = json.loads(out)
    assert (answer["model"], answer["version"], len(answer["predictions"])) == (MODEL, 1, 3)
    assert all(0 <= value <= 1 for value in answer["predictions"])
    row = {"id": 1, "day": "2024-04-15", "customer": "c3", "amount": 60.0}
    for number, rows in enumerate(([row], {"rows": [row]})):
        file = tmp_path / f"rows{number}.json"
        file.write_text(json.dumps(rows))
        one = json.loads(invoke("predict", MODEL, "--rows", str(file)).out)
        assert len(one["predictions"]) == 1
    table = tmp_path / "rows.csv"
    table.write_text("id;day;customer;amount\n1;15.04.2024;c3;60,0\n2;16.04.2024;c3;60,5\n")
    found = json.loads(invoke("predict", MODEL, "--rows", str(table)).out)["predictions"]
    assert found[0] == one["predictions"][0] and len(found) == 2
    table.write_text("id,day,customer\n1,2024-04-15,c3\n")
    assert "columns.amount: Field required" in only_line(invoke("predict", MODEL, "--rows", str(table)).err)
    table.write_text("id,day,customer,amount\n" + "1,2024-04-15,c3,60.0\n" * 1_001)
    said = only_line(invoke("predict", MODEL, "--rows", str(table)).err)
    assert "1,001 rows; a request has 1 to 1,000" in said and f"ml-platform score {MODEL} --table" in said
    (strange := tmp_path / "strange.json").write_text(json.dumps([{**row, "colour\x1b": 1}]))
    said = only_line(invoke("predict", MODEL, "--rows", str(strange)).err)
    assert "rows[0]: has a field that the request does not know: 'colour\\x1b'" in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read as JSON"),
        ("a;b\n1;2", "--rows takes JSON, or a table: .csv, .csv.gz, .parquet, .pq"),
        ("{not json", "cannot be read as JSON"),
        ('[{"id": 1}]', "day"),
        ('[{"id": 1, "day": "2024-04-15", "customer": "c3", "amount": "much"}]', "amount"),
        ('"text"', "row"),
        ("[]", "row"),
    ],
)
def test_predict_with_a_bad_file_is_one_line(invoke: Invoke, tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "rows.json"
    if content is not None:
        file.write_text(content)
    code, out, err = invoke("predict", MODEL, "--rows", str(file))
    assert (code, out) == (1, "")
    assert reason in only_line(err)


def test_predict_names_what_it_cannot_find(invoke: Invoke) -> None:
    unknown = invoke("predict", "nope")
    assert unknown.code == 2
    assert "there is no model 'nope'" in only_line(unknown.err)
    missing = invoke("predict", MODEL, "--partition", "2023-01-01")
    assert missing.code == 1
    assert "2023-01-01 is not published; published: 2024-01-01" in only_line(missing.err)


def test_status_says_what_is_there(invoke: Invoke, tmp_path: Path) -> None:
    result = tmp_path / "status.json"
    code, out, _ = invoke("status", "--json", str(result))
    assert code == 0
    assert "supervisor: running" in out
    found = json.loads(result.read_text())
    assert found["datasets"]["orders"]["published"] == list(MONTHS)
    assert found["models"][MODEL] == {
        "candidate": "approved",
        "because": "every gate passed",
        "version": 1,
        "approval": "approved",
        "champion": 1,
        "url": found["models"][MODEL]["url"],
        "phase": "live",
        "promoted": True,
    }


def test_a_watched_status_is_shown_again_when_it_has_changed(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    said = iter([[], [], ["something is to be done"]])

    def next_look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status, "sleep", next_look)
    monkeypatch.setattr(rollout, "attend", lambda *_: next(said))
    code, out, err = invoke("status", "--watch")
    # The second look found nothing new.
    assert (code, err, out.count("supervisor: running"), out.count("something is to be done")) == (0, "", 2, 1)
    both = invoke("status", "--watch", "--json", "-")
    assert both.code == 2 and "take one of them" in only_line(both.err)


def test_the_standard_output_can_be_the_json_alone(invoke: Invoke) -> None:
    answering = ("status", f"trace {MODEL}", "ledger log", "check", "validate", "gates volume", "ledger verify")
    for command in (
        *answering,
        f"why {MODEL}",
        "data log orders",
        f"rollout status {MODEL}",
        f"rollout history {MODEL}",
    ):
        done = invoke(*command.split(), "--json", "-", COLUMNS="80")
        assert done.code == 0 and json.loads(done.out), (command, done)
        assert done.err.strip(), "what people read is on standard error"


def test_no_name_is_cut_in_a_pipe(invoke: Invoke) -> None:
    url = json.loads(invoke("status", "--json", "-").out)["models"][MODEL]["url"]
    shown = invoke("status", COLUMNS="80").out
    assert url in shown and "…" not in shown
    checked = invoke("check", COLUMNS="80").out
    assert "performance_auc" in checked and "…" not in checked


def test_ledger_verifies_logs_and_finds_tampering(invoke: Invoke, ran: RanShop, tmp_path: Path) -> None:
    code, out, _ = invoke("ledger", "verify")
    assert code == 0
    assert "entries, unbroken; head " in only_line(out)
    result = tmp_path / "log.json"
    log = invoke("ledger", "log", "--subject", "orders/batch/%", "-n", "3", "--json", str(result))
    assert log.code == 0
    entries = json.loads(result.read_text())
    assert len(entries) == 3
    assert all(entry["subject_name"].startswith("orders/batch/") for entry in entries)
    by_hash = invoke("ledger", "log", "--subject", entries[0]["subject"])
    assert entries[0]["subject"][:8] in by_hash.out

    copy = backup(ran, tmp_path)
    with sqlite3.connect(copy) as target:
        target.execute("UPDATE ml_platform_ledger SET body = replace(body, 'passed', 'failed') WHERE sequence = 5")
    target.close()
    broken = invoke("ledger", "verify", ML_PLATFORM_LEDGER_URL=f"sqlite:///{copy}")
    assert (broken.code, broken.out) == (1, "")
    assert "entry 5 was changed after it was written" in only_line(broken.err)


def test_debug_shows_the_traceback_and_nothing_else_does(ran: RanShop, invoke: Invoke) -> None:
    plain = invoke("trace", "nope")
    assert "Traceback" not in plain.err
    debug = ran.shop.ml("--debug", "trace", "nope")  # nothing catches it, so it ends the process
    assert "Traceback" in debug.stderr
    assert "there is no model 'nope'" in debug.stderr
    assert debug.returncode != 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("walk",),
        ("check", "--colour"),
        ("predict",),
        ("predict", MODEL, "--limit", "0"),
        ("check", "--model", "nope"),
        ("check", "--branch", "../.."),
    ],
)
def test_bad_usage_exits_2(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    ended = invoke(*arguments)
    assert ended.code == 2
    assert ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("name", "value"), [("ML_PLATFORM_THREADS", "many"), ("ML_PLATFORM_STORE", "floppy")])
def test_a_setting_that_cannot_be_is_one_line(invoke: Invoke, name: str, value: str) -> None:
    code, out, err = invoke("ledger", "verify", **{name: value})
    assert (code, out) == (1, "")
    assert only_line(err).startswith(f"ml-platform: {name}: ")
    assert value in err


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("validate",), ("ledger", "verify"), ("data", "log", "orders"), ("stop",), ("ui", "--stop")],
)
def test_no_command_starts_under_a_setting_that_nobody_reads(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    code, out, err = invoke(*arguments, ML_PLATFORM_APROVAL="person")
    assert (code, out) == (1, "")
    assert only_line(err) == ("ml-platform: ML_PLATFORM_APROVAL is no setting here; did you mean ML_PLATFORM_APPROVAL?")
    code, out, _ = invoke(*arguments, "--help", ML_PLATFORM_APROVAL="person")
    assert code == 0
    assert "Usage" in out


def test_a_file_that_cannot_be_written_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = invoke("ledger", "log", "--json", str(tmp_path / "file" / "log.json"))
    assert code == 1
    assert "--json: " in only_line(err)
    assert "cannot be written" in err


def test_a_partition_is_scored_as_it_is_answered_and_traced(invoke: Invoke, tmp_path: Path) -> None:
    import polars as pl

    from ml_platform.datasets import batches
    from ml_platform.pipeline.workspace import Workspace

    file = tmp_path / "out.json"
    code, _, err = invoke("score", MODEL, "--json", str(file))
    assert code == 0, err
    ((month, scored),) = json.loads(file.read_text()).items()
    assert (month, scored["version"]) == (MONTHS[-1], 1)
    answer = json.loads(invoke("predict", MODEL, "--partition", month, "--limit", "3").out)
    scores = batches.read_at(Workspace().store, scored["commit"], scored["path"], scored["sha256"])
    assert scores["prediction"].head(3).to_list() == answer["predictions"]
    code, out, _ = invoke("trace", f"{MODEL}/scores/{month}", "--json", str(file))
    assert code == 0 and "scores_distribution: passed" in out and f"{MODEL}@1" in out
    assert json.loads(file.read_text())["origin"]["version"] == 1
    assert "is not published" in only_line(invoke("score", MODEL, "--from", "2019-01-01").err)
    # Its rows as a table of somebody's get the same answers, by the history of the service.
    rows, out_file = tmp_path / "rows.parquet", tmp_path / "scores.parquet"
    batches.read_batch(Workspace().store, DATASET, month, scored["inputs"][f"{DATASET}/{month}"]).write_parquet(rows)
    code, out, err = invoke("score", MODEL, "--table", str(rows), "--out", str(out_file))
    assert code == 0 and f"ml-platform trace {MODEL}/scores/table-" in out, err
    assert pl.read_parquet(out_file)["prediction"].head(3).to_list() == answer["predictions"]
    code, out, _ = invoke("trace", out.partition("ml-platform trace ")[2].split()[0])
    assert code == 0 and "scores_parity: passed" in out and "scores_input: passed" in out
    assert "there is none; ml-platform score" in only_line(invoke("trace", f"{MODEL}/scores/{MONTHS[0]}").err)


def test_what_is_rejected_while_it_answers_is_said_once_and_everywhere(invoke: Invoke, tmp_path: Path) -> None:
    words = ("--by", "ann", "--reason", "wrong year")
    file = tmp_path / "out.json"
    code, out, _ = invoke("reject", f"{MODEL}@1", *words, "--json", str(file))
    assert code == 0
    assert "version 1 still answers; " in out
    assert f"{MODEL}: there is no version to go back to (no other ever answered)" in out
    assert json.loads(file.read_text())["answers"] == 1
    try:
        code, out, _ = invoke("status", "--json", str(file))
        found = json.loads(file.read_text())["models"][MODEL]
        assert found["promoted"] is True
        assert (code, found["candidate"], found["approval"], found["because"]) == (
            *(0, "rejected", "rejected", "wrong year"),
        )
        assert "version 1 answers although ann rejected it (wrong year)" in out
        code, out, err = invoke("reject", f"{MODEL}@1", *words, "--rollback")
        assert code == 1
        assert "no version to go back to" in only_line(err)
        assert invoke("reject", f"{MODEL}@7", *words).err.startswith(f"ml-platform: model {MODEL} has no version 7")
    finally:
        code, out, _ = invoke("approve", f"{MODEL}@1", "--by", "bob", "--reason", "right year")
    assert code == 0
    assert "before, it was rejected by ann: wrong year" in out
    invoke("status", "--json", str(file))
    found = json.loads(file.read_text())["models"][MODEL]
    assert (found["candidate"], found["approval"]) == ("approved", "approved")


def test_a_broken_declaration_is_named_in_the_words_of_validate(
    shop_template: object, ran: RanShop, tmp_path: Path
) -> None:
    shop = ran.shop.copy(tmp_path / "broken")
    shop.edit(MODEL, "task: binary", "task: ranking")
    done = shop.ml("status")
    assert done.returncode == 1
    (mistake,) = [line for line in shop.ml("validate").stdout.splitlines() if not line.startswith("warning: ")]
    assert only_line(done.stderr) == f"ml-platform: {mistake}"


def test_services_stop_and_are_served_again(ran: RanShop, invoke: Invoke) -> None:
    stopped = ran.shop.ml("stop", **ran.settings)
    assert (stopped.returncode, stopped.stdout) == (0, "stopped 1 service and the supervisor\n")
    refused = invoke("predict", MODEL)
    assert refused.code == 1
    assert "no service is live" in only_line(refused.err)
    serving = subprocess.Popen(
        [str(BIN / "ml-platform"), "serve"],
        cwd=ran.shop.root,
        env=ran.shop.environment | ran.settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + 120
        while (answer := invoke("predict", MODEL)).code != 0:
            assert serving.poll() is None and time.monotonic() < ends, answer.err
            time.sleep(0.2)
        assert json.loads(answer.out)["version"] == 1
    finally:
        serving.terminate()
        assert serving.wait(30) == 0
