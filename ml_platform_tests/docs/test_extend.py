"""The page about extending runs as it stands."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_platform.models.task import task_of
from ml_platform.training.trainer import trainer_of
from ml_platform_tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extend.md").read_text()
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
RUN = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
DECLARATION = re.compile(r"<!-- declaration -->\n```yaml\n(.*?)```", re.DOTALL)


def test_the_examples_train_and_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, runs = FILE.findall(PAGE), RUN.findall(PAGE)
    assert len(files) == 7 and len(runs) == 3
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


def test_the_declaration_can_be_trained() -> None:
    (text,) = DECLARATION.findall(PAGE)
    declared = yaml.safe_load(text)
    trainer = trainer_of(declared["trainer"])
    trainer.check(trainer.Parameters.model_validate(declared["parameters"]), task_of("binary", (), 0.5))
