"""``kill -9`` at seeded moments of ``ml-platform run``, early and late: nothing is lost, and nothing there twice."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_platform.foundation.settings import Settings
from ml_platform.gates.every_kind import KINDS
from ml_platform_tests import project as harness
from ml_platform_tests.conftest import ROOT, ports

#: In how many places a run is killed, early and then late; by hand 10 (each takes up to two whole runs).
PLACES = int(os.environ.get("TEST_PLACES", "1"))
SEED = 20184
MODEL = "flight_delay"
SECONDS = 240

PYPROJECT = """
[project]
name = "small"
version = "0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "small"
"""
DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


@dataclass(frozen=True)
class Outcome:
    """What a finished run left behind."""

    batches: dict[str, str]
    features: dict[str, str]
    model: str
    versions: list[int]
    mlflow: list[str]
    published: int


@dataclass(frozen=True)
class Project:
    """A small project on disk, run by the command in processes of its own."""

    root: Path

    def environment(self, local: Path) -> dict[str, str]:
        """Environment of a run with its own ``local`` folder."""
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.root),
            "ML_PLATFORM_LOCAL": str(local),
            "ML_PLATFORM_PORTS": ports(3940, 21),
            "PYTHONPATH": f"{self.root}{os.pathsep}{ROOT}",
            "PYTHONWARNINGS": "ignore",
        }

    def start(self, local: Path) -> subprocess.Popen[str]:
        """Start ``ml-platform run`` as a process that can be killed alone."""
        log = (local.parent / f"{local.name}.log").open("a")
        return subprocess.Popen(
            ["ml-platform", "run", "--json", str(local.parent / f"{local.name}.json")],
            env=self.environment(local),
            cwd=self.root,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, local: Path) -> float:
        """Run to the end; returns the seconds."""
        began = time.monotonic()
        process = self.start(local)
        assert process.wait(SECONDS) == 0, (local.parent / f"{local.name}.log").read_text()[-3000:]
        return time.monotonic() - began

    def stop(self, local: Path) -> None:
        """Stop the services of a ``local`` folder."""
        subprocess.run(["ml-platform", "stop"], env=self.environment(local), cwd=self.root, check=True, timeout=60)

    def outcome(self, local: Path) -> Outcome:
        """Read the stores of a ``local`` folder."""
        from ml_platform.datasets import batches
        from ml_platform.pipeline.workspace import Workspace

        workspace = Workspace(Settings(local=local))
        store, tracking = workspace.store, workspace.tracking
        folder = "features/flights/features/"
        features = {item.path.removeprefix(folder): item.sha256 for item in store.list("features", folder)}
        versions = workspace.registry.versions(MODEL)
        runs = tracking.search(tracking.experiment(MODEL), "")
        assert workspace.ledger.verify() > 0
        assert store.fsck() == []  # type: ignore[attr-defined]
        assert not [name for name in store.branches() if name.startswith("stage-")]
        return Outcome(
            batches={name: info.sha256 for name, info in batches.published(store, "flights").items()},
            features=features,
            model=versions[-1].sha256,
            versions=[version.version for version in versions],
            mlflow=sorted(run.info.status for run in runs),
            published=sum("ledger_head" in commit.metadata for commit in store.log("main")),
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Three months, one small model, in a project of its own."""
    root = tmp_path_factory.mktemp("project")
    months = harness.sample_months(root / "batches", harness.MONTHS[:3])
    flights, features = yaml.safe_load_all((ROOT / "ml_platform/defs/flights/defs.yaml").read_text())
    model = yaml.safe_load((ROOT / "ml_platform/defs/flight_delay/defs.yaml").read_text())
    flights["attributes"] |= {**harness.DATASET, "partitions": {"every": "month", "start": "2013-01-01"}}
    model["attributes"] |= {"parameters": harness.PARAMETERS, "split": {"holdout": 1}}
    flights["attributes"]["gates"] = [gate for gate in flights["attributes"]["gates"] if not _of_the_whole(gate)]
    model["attributes"]["gates"] = [gate for gate in model["attributes"]["gates"] if not _about_quality(gate)]
    declared: dict[str, list[Any]] = {
        "flights": [flights, features],
        MODEL: [model],
        "platform": [{"type": "ml_platform.Platform"}],
    }
    for name, documents in declared.items():
        place = root / "small" / "defs" / name
        place.mkdir(parents=True)
        (place / "defs.yaml").write_text(yaml.safe_dump_all(documents))
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "small" / "__init__.py").touch()
    (root / "small" / "defs" / "__init__.py").touch()
    (root / "small" / "definitions.py").write_text(DEFINITIONS)
    (root / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    os.environ[harness.FOLDER] = str(months)
    yield Project(root)
    del os.environ[harness.FOLDER]


def _of_the_whole(gate: dict[str, Any]) -> bool:
    """A sample's slices are too small to be judged, and columns that count rows counted those of the whole."""
    return gate["gate"] == "counts" or (gate["gate"] in ("distribution", "labels") and "by" in gate)


def _about_quality(gate: dict[str, Any]) -> bool:
    """Gates whose thresholds are those of the whole year, and those that take their time."""
    kind = KINDS[gate["gate"]]
    return kind.timed or (kind.stage == "evaluation" and kind.name not in ("champion", "leak_alarm", "model_size"))


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS * (PLACES + 2))
def test_killed_at_seeded_moments_it_ends_as_if_undisturbed(small: Project, tmp_path: Path):
    whole = tmp_path / "whole"
    seconds = small.run(whole)
    undisturbed = small.outcome(whole)
    small.stop(whole)
    assert undisturbed.versions == [1]
    assert undisturbed.mlflow == ["FINISHED"]

    moments = random.Random(SEED)
    for number in range(PLACES):
        local, told = tmp_path / f"killed-{number}", ""
        # Anywhere in the first half of a run, then of what that left anywhere in the second.
        for half in (0, 1):
            moment = seconds * (half + moments.random()) / 2
            process = small.start(local)
            try:
                code = process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                code = process.wait(30)
            told += f"killed after {moment:.1f} of {seconds:.1f} s (ended with {code}); "
        small.run(local)
        left = small.outcome(local)
        small.stop(local)
        assert (left.batches, left.features) == (undisturbed.batches, undisturbed.features), told
        assert left.model == undisturbed.model, told
        assert left.versions == [1], told
        assert left.published == undisturbed.published, told
        assert left.mlflow.count("FINISHED") == 1, told
        assert set(left.mlflow) <= {"FINISHED", "KILLED"}, told
