import base64
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.patience import waiting
from ml_platform.foundation.processes import is_dead, process_identity
from ml_platform.foundation.provenance import OUTSIDE_GIT
from ml_platform.registry.tracking import KEY_TAG, PROCESS_TAG, Tracking
from ml_platform_tests.registry.models import fit
from ml_platform_tests.training.synthetic import PROVENANCE, frames, split_ref, tracking_below

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return tracking_below(tmp_path_factory.mktemp("tracking"))


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def status(tracking: Tracking, run_id: str) -> str:
    return tracking.client.get_run(run_id).info.status


def test_an_attempt_ends_with_its_true_status(tracking: Tracking) -> None:
    with tracking.attempt("status", run_name="good", tags={"x": "1"}) as good:
        assert status(tracking, good) == "RUNNING"
    run = tracking.client.get_run(good)
    assert run.info.status == "FINISHED"
    assert run.data.tags["x"] == "1" and run.data.tags[PROCESS_TAG] == process_identity()
    ends = ((ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(), "KILLED"))
    for error, expected in ends:
        with pytest.raises(type(error)), tracking.attempt("status", run_name="bad", tags={}) as bad:
            raise error
        assert status(tracking, bad) == expected


def test_a_model_is_logged_whole_and_can_be_read_back(tracking: Tracking) -> None:
    split = split_ref(range(1, 4), model="logged")
    reference = fit(tracking, split, "key-logged")
    run = tracking.client.get_run(reference.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["rounds"] == "5" and run.data.params["target"] == "late"
    assert run.data.tags["dagster.run_id"] == "dagster-1"
    assert run.data.tags[KEY_TAG] == "key-logged"
    assert run.data.tags["ml_platform.model_sha256"] == reference.sha256
    assert run.data.tags["ml_platform.manifest_sha256"] == split.sha256
    assert run.data.metrics["train.rows"] + run.data.metrics["train.rows_without_label"] == 3000
    assert sha256_file(tracking.model_path(reference)) == reference.sha256
    assert tracking.model_ref(reference.mlflow_run_id) == reference
    manifest = json.loads(tracking.read_artifact(reference.mlflow_run_id, "manifest.json"))
    assert [item["partition"] for item in manifest["train"]] == ["2013-01-01", "2013-02-01"]


def test_an_equal_training_is_adopted_without_reading_data(tracking: Tracking) -> None:
    split = split_ref(range(1, 4), model="adopted")
    first = fit(tracking, split, "key-adopted")

    def untouched() -> Iterator[Any]:
        raise AssertionError("the frames were read")
        yield

    assert fit(tracking, split, "key-adopted", untouched(), run_id="dagster-2") == first
    other = fit(tracking, split, "another-key", run_id="dagster-2")
    assert other.mlflow_run_id != first.mlflow_run_id
    assert other.sha256 == first.sha256
    assert len(tracking.search(tracking.experiment("adopted"), "")) == 2


def test_what_was_trained_outside_git_is_trained_again_once_there_is_a_commit(tracking: Tracking) -> None:
    split = split_ref(range(1, 4))
    outside = PROVENANCE.model_copy(update={"code_commit": OUTSIDE_GIT})
    first = fit(tracking, split, "key-outside", provenance=outside)
    assert fit(tracking, split, "key-outside", provenance=outside) == first
    again = fit(tracking, split, "key-outside")
    assert (again.provenance, again.sha256) == (PROVENANCE, first.sha256), "equal bytes, which can be replayed"
    assert fit(tracking, split, "key-outside") == again
    assert fit(tracking, split, "key-outside", provenance=outside) in (first, again)


def test_a_failed_training_is_not_adopted(tracking: Tracking) -> None:
    split = split_ref(range(1, 4), model="failing")
    with pytest.raises(PlatformError, match="features signal are not in the frame"):
        fit(tracking, split, "key-failing", [frames(split.train)[0].drop("signal")])
    assert not list(tracking.trained("failing", "key-failing"))
    [failed] = tracking.search(tracking.experiment("failing"), "")
    assert failed.info.status == "FAILED"
    assert fit(tracking, split, "key-failing").mlflow_run_id != failed.info.run_id


def test_changed_and_lost_model_files_are_named(tracking: Tracking) -> None:
    split = split_ref(range(1, 4), model="damaged")
    reference = fit(tracking, split, "key-damaged")
    folder = tracking.artifact_root / "damaged" / reference.mlflow_run_id / "artifacts" / "model"
    cached = tracking.model_path(reference)
    cached.write_bytes(b"damaged copy")
    assert sha256_file(tracking.model_path(reference)) == reference.sha256
    cached.unlink()
    content = (folder / "model.ubj").read_bytes()
    (folder / "model.ubj").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PlatformError, match="not the recorded"):
        tracking.model_path(reference)
    with pytest.raises(PlatformError, match="not the recorded"):
        fit(tracking, split, "key-damaged")
    (folder / "model.ubj").unlink()
    with pytest.raises(MissingReference, match="cannot be read"):
        tracking.model_path(reference)
    again = fit(tracking, split, "key-damaged")
    assert again.sha256 == reference.sha256 and again.mlflow_run_id != reference.mlflow_run_id


def test_runs_of_a_killed_process_are_ended_and_living_ones_left(tracking: Tracking) -> None:
    code = """
        import os, sys, time
        from pathlib import Path
        from ml_platform_tests.training.synthetic import tracking_below
        tracking = tracking_below(Path(sys.argv[1]))
        with tracking.attempt("killed", run_name="doomed", tags={}) as run_id:
            print(run_id, flush=True)
            time.sleep(120)
    """
    process = run_python(code, str(tracking.artifact_root.parent))
    try:
        assert process.stdout is not None
        doomed = process.stdout.readline().strip()
        assert tracking.end_dead_attempts("killed") == []
        assert status(tracking, doomed) == "RUNNING"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    foreign = tracking.client.create_run(
        tracking.experiment("killed"), tags={PROCESS_TAG: "another-host:1:2:3"}
    ).info.run_id
    with tracking.attempt("killed", run_name="alive", tags={}) as alive:
        assert tracking.end_dead_attempts("killed") == [doomed]
        assert [status(tracking, run) for run in (doomed, alive, foreign)] == ["KILLED", "RUNNING", "RUNNING"]


def test_a_recycled_process_id_does_not_count_as_alive() -> None:
    host, pid, start, boot = process_identity().rsplit(":", 3)
    assert not is_dead(process_identity())
    assert is_dead(f"{host}:{pid}:{start}0:{boot}")
    assert is_dead(f"{host}:{pid}:{start}:an-earlier-boot")
    assert not is_dead("")


@pytest.mark.slow
def test_processes_that_start_together_share_one_store_and_one_training(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from ml_platform_tests.training.synthetic import split_ref, tracking_below
        from ml_platform_tests.registry.models import fit
        print(fit(tracking_below(Path(sys.argv[1])), split_ref(range(1, 4)), "one-key").mlflow_run_id)
    """
    processes = [run_python(code, str(tmp_path)) for _ in range(3)]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({output.strip() for output, _ in results}) == 1
    assert len(tracking_below(tmp_path).search(tracking_below(tmp_path).experiment("flight_delay"), "")) == 1


def test_a_server_that_is_down_is_one_clear_error(tmp_path: Path) -> None:
    down = Tracking("http://user:secret@127.0.0.1:9", tmp_path, timeout=1)
    with waiting(0), pytest.raises(PlatformError, match="cannot open experiment x") as caught:
        down.experiment("x")
    assert "secret" not in str(caught.value)


def test_a_lock_that_stays_taken_is_named(tracking: Tracking) -> None:
    with (
        tracking.lock("busy"),
        pytest.raises(PlatformError, match=r"busy\.lock"),
        tracking_below(tracking.artifact_root.parent).lock("busy", seconds=0.1),
    ):
        raise AssertionError("two holders")


def test_killed_while_the_tables_are_made_the_next_process_makes_them(tmp_path: Path) -> None:
    # Each is a process of its own; the libraries are loaded once, by what they are forked from.
    program = f"""
    import os, sys
    from pathlib import Path
    import mlflow.store.tracking.sqlalchemy_store
    from ml_platform.registry.tracking import Tracking
    for _ in sys.stdin:
        process = os.fork()
        if not process:
            Tracking("sqlite:///{tmp_path}/store/mlflow.db", Path("{tmp_path}/artifacts")).client
            os._exit(0)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    """
    pipe = subprocess.PIPE
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdin=pipe, stdout=pipe, text=True)
    assert parent.stdin and parent.stdout
    for tables in (1, 10, 25):
        print("next", file=parent.stdin, flush=True)
        process = int(parent.stdout.readline())
        while _tables_in_the_making(tmp_path / "store") < tables:
            assert not (tmp_path / "store" / "mlflow.db").exists(), "the process ended before it could be killed"
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        assert int(parent.stdout.readline()) == -signal.SIGKILL
        assert not (tmp_path / "store" / "mlflow.db").exists()
        for half_made in (tmp_path / "store").glob(".mlflow.db.*.tmp"):
            half_made.rename(half_made.with_suffix(f".killed-{tables}"))
    parent.stdin.close()
    assert parent.wait(30) == 0
    parent.stdout.close()
    tracking = Tracking(f"sqlite:///{tmp_path}/store/mlflow.db", tmp_path / "artifacts")
    assert tracking.experiment("after")


def _tables_in_the_making(folder: Path) -> int:
    found = 0
    for path in folder.glob(".mlflow.db.*.tmp"):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                found = max(found, connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        except sqlite3.OperationalError:
            continue
    return found


def test_a_copy_reads_its_own_artifacts_and_leaves_the_original_alone(tmp_path: Path) -> None:
    original = tracking_below(tmp_path / "original place" / "mlflow")
    with original.attempt("m", run_name="r", tags={}) as run:
        original.log_artifact(run, "folder/note.txt", "the original's")
    shutil.copytree(tmp_path / "original place" / "mlflow", tmp_path / "copy" / "mlflow")
    (changed,) = (tmp_path / "copy" / "mlflow").rglob("note.txt")
    changed.write_text("the copy's")
    copy = tracking_below(tmp_path / "copy" / "mlflow")
    assert copy.read_artifact(run, "folder/note.txt") == b"the copy's"
    with copy.attempt("m", run_name="r", tags={}) as later:
        copy.log_artifact(later, "note.txt", "newer")
    assert original.read_artifact(run, "folder/note.txt") == b"the original's"
    assert [path.read_text() for path in (tmp_path / "original place" / "mlflow").rglob("note.txt")] == [
        "the original's"
    ]


def test_a_server_is_named_without_its_password_and_asked_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        place = f"127.0.0.1:{server.server_address[1]}"
        # pragma: allowlist nextline secret
        tracking = Tracking(f"http://me:p%40ss@{place}", Path("unused"), timeout=5)
        with pytest.raises(PlatformError) as error:
            tracking.experiment("any")
        server.shutdown()
    assert asked and set(asked) == {f"Basic {base64.b64encode(b'me:p@ss').decode()}"}
    assert "p%40ss" not in str(error.value) and "p@ss" not in str(error.value)
    # What MLflow prints when a run ends.
    assert tracking.client.tracking_uri == f"http://{place}"
