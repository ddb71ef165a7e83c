"""The page about extending runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_platform.models.task import task_of
from ml_platform.training.trainer import trainer_of
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.docs.rooms import named

PAGE = (ROOT / "docs" / "extend.md").read_text()
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
RUN = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
CONTRACT = """
import numpy as np
import polars as pl

from ml_platform.models.task import task_of
from ml_platform.testing.task import TaskContract
from ml_platform.testing.trainer import TrainerContract


def frame(seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=400)
    return pl.DataFrame({"a": x, "b": random.normal(size=400), "y": x * 2 + random.normal(size=400) / 4})


class TestAverage(TrainerContract):
    trainer = "mine.average:AverageTrainer"
    parameters = {}
    task = "regression"
    names = ("a", "b")
    target = "y"
    frames = (frame(1), frame(2))
    unseen = frame(3)


class TestBoosted(TestAverage):
    trainer = "mine.boosted:BoostedTrainer"


class TestNear(TaskContract):
    task = task_of("mine.near:Near")
    target = pl.Series([1.0, 2.0, 3.5, 5.0, None])
    predictions = np.array([1.5, 2.0, 4.0, 3.0], np.float32)
"""
DECLARATION = re.compile(r"<!-- declaration -->\n```yaml\n(.*?)```", re.DOTALL)


def test_the_examples_train_and_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, runs = FILE.findall(PAGE), RUN.findall(PAGE)
    assert len(files) == 10 and len(runs) == 3
    for name, text in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found: dict[str, Any] = {}
    try:
        for run in runs:
            exec(compile(run, "docs/extend.md", "exec"), found)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]
    assert found["found"]["near"] > 0.9 and len(found["statuses"]) == 2 and found["told"] == ["m: revision 1"]
    assert found["failed"] == {} and found["kept"] == "m: look at it\n"


@pytest.mark.slow
def test_the_trainers_and_the_task_of_the_page_pass_their_contracts(tmp_path: Path) -> None:
    for name, text in FILE.findall(PAGE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "test_average.py").write_text(CONTRACT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error::RuntimeWarning",
        str(tmp_path / "test_average.py"),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_what_the_page_names_of_a_room_the_room_offers() -> None:
    modules = set(re.findall(r"\bml_platform\.(\w+)\.(\w+)", PAGE))
    assert ("models", "regression") in modules and len(modules) > 15
    assert {f"{room}.{module}" for room, module in modules if module not in named(room)} == set()


def test_the_declaration_can_be_trained() -> None:
    (text,) = DECLARATION.findall(PAGE)
    declared = yaml.safe_load(text)
    trainer = trainer_of(declared["trainer"])
    trainer.check(trainer.Parameters.model_validate(declared["parameters"]), task_of("binary", (), 0.5))
