"""Rollback proved: broken candidates of a version that answers go back by their rule, a sound one does not."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.proving.rollouts import SOUND, RolloutProof, breaks_of, plan_of
from ml_platform.rollout import changes
from ml_platform.rollout.record import Backend, Plan, Rules, Step
from ml_platform.rollout.record_files import RecordFiles
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform_tests.conftest import ports
from ml_platform_tests.serving.conftest import Inputs, inputs  # noqa: F401


def test_a_proof_waits_for_no_declared_hour_and_gives_the_rules_their_requests() -> None:
    steps = (Step(shadow=100, requests=10_000), Step(weight=10, requests=20, seconds=3600))
    declared = Plan(replicas=2, steps=steps, rules=Rules(requests=300))
    bounded = (Step(shadow=100, requests=600), Step(weight=10, requests=20, seconds=1))
    assert plan_of(declared) == Plan(replicas=2, steps=bounded, rules=Rules(requests=300))
    # A promoted version is watched; where it is not, and no step is declared, nothing would see what is wrong.
    assert plan_of(Plan()).steps == ()
    assert plan_of(Plan(watch=0)).steps == (Step(weight=50, requests=200),)


def test_without_a_version_that_answers_there_is_nothing_to_break(settings: Settings, tmp_path: Path) -> None:
    RecordFiles(settings).update("tiny", lambda record: changes.addressed(record, 3999))
    with pytest.raises(PlatformError, match="tiny: no version answers; deploy one first"):
        RolloutProof(settings, "tiny", Plan(), [{}], tmp_path)


class _OneByOne(BaseHTTPRequestHandler):
    """Answers one request after the other, each after 5 ms."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(0.005)
        content = b'{"version": 1, "predictions": [0.5]}'
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:
        pass


def test_what_is_usual_is_measured_under_the_load_that_candidates_get() -> None:
    """Ten times what one client waits alone is not slower than what eight of them wait beside each other."""
    server = HTTPServer(("127.0.0.1", 0), _OneByOne)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    proof = object.__new__(RolloutProof)
    proof.model, proof.bodies, proof.url = "m", [b"{}"], f"http://127.0.0.1:{server.server_address[1]}"
    proof.config = SimpleNamespace(task="binary", classes=(), decision_threshold=0.5)  # type: ignore[assignment]
    took, spread = proof._usual()
    server.shutdown()
    server.server_close()
    assert took > 0.012 and spread is None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Envoy.is_here(), reason="there is no wheel of Envoy for this machine")
def test_broken_candidates_go_back_by_their_rule_and_a_sound_one_is_promoted(
    inputs: Inputs,  # noqa: F811
    tmp_path: Path,
) -> None:
    own = Settings(local=tmp_path / "project", ports=ports(3860, 40))
    package = inputs.package(own.local / BENTOS)
    live = Backend(version=1, tag=package.tag, sha256=package.sha256, path=f"{BENTOS}/{package.path.name}")
    RecordFiles(own).update("tiny", lambda record: changes.started(record, live, by="ann", why="test"))
    before = RecordFiles(own).update("tiny", lambda record: changes.promoted(record, by="ann", why="test"))
    shared, watched = (
        {one.name: one for one in RolloutProof(own, "tiny", plan, inputs.rows(50), tmp_path / name).run(names)}
        for plan, name, names in (
            (Plan(watch=0), "shared", ["shifted predictions", "stale history", SOUND]),
            (Plan(), "watched", ["errs on 30 %", "silent", "dies"]),
        )
    )
    assert {name: one.right for name, one in [*shared.items(), *watched.items()] if not one.right} == {}, (
        shared,
        watched,
    )
    assert [one.failed for one in [*shared.values(), *watched.values()]] == [{}] * 6, (shared, watched)
    assert watched["errs on 30 %"].why.startswith("errors: ") and watched["errs on 30 %"].by_candidate
    # The project is as it was.
    assert RecordFiles(own).load("tiny") == before
    assert {one.name for one in breaks_of(0.01, 1.0)} >= {*shared, *watched} - {SOUND}
