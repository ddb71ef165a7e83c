"""What importing loads: heavy libraries are imported where they are used, Dagster by one folder only."""

import json
import os
import subprocess
import sys

import pytest

from ml_platform_tests.conftest import ROOT

HEAVY = ("mlflow", "xgboost", "evidently", "shap", "bentoml", "pandera")
#: The folders and modules that know Dagster. Entry modules of a service can only be imported inside a package.
KNOW_DAGSTER = ("ml_platform.orchestration", "ml_platform.cli", "ml_platform.definitions")
ONLY_PACKAGED = ("ml_platform.serving.entry", "ml_platform.proving.faults.")

IMPORT_ALL = f"""
import importlib, pkgutil
import ml_platform
names = [module.name for module in pkgutil.walk_packages(ml_platform.__path__, "ml_platform.")]
domain = [name for name in names if not name.startswith({KNOW_DAGSTER!r}) and not name.startswith({ONLY_PACKAGED!r})]
for name in domain:
    importlib.import_module(name)
    assert "dagster" not in sys.modules, name + " imports dagster"
print(json.dumps(len(domain)))
"""


def in_a_fresh_process(code: str) -> object:
    """What the last line of some code's output says, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import json, sys\n{code}"],
        cwd=ROOT,
        env={**os.environ, "DAGSTER_HOME": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    ["import ml_platform.definitions", "import ml_platform.definitions as project; assert project.defs()"],
    ids=["imported", "loaded"],
)
def test_the_definitions_load_without_the_heavy_libraries(code: str) -> None:
    loaded = in_a_fresh_process(f"{code}\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))")
    assert loaded == []
    # The names are right: what is asked for by name is found.
    assert in_a_fresh_process("import pandera\nprint(json.dumps('pandera' in sys.modules))") is True


def test_no_domain_module_imports_dagster() -> None:
    count = in_a_fresh_process(IMPORT_ALL)
    assert isinstance(count, int) and count > 60
