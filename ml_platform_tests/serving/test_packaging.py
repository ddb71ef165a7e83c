"""A package is complete, the same for the same inputs, and made once."""

import importlib.util
import json
import marshal
import os
import shutil
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.serving import bundle, process
from ml_platform.serving.client import Client, predict
from ml_platform.serving.packaging import Packaged
from ml_platform_tests.serving.conftest import Inputs


def test_the_same_inputs_give_the_same_package_once(inputs: Inputs, packaged: Packaged, tmp_path: Path) -> None:
    before = (packaged.path / "bento.yaml").stat().st_mtime_ns
    again = inputs.package(packaged.path.parent)
    assert (again.tag, again.sha256, again.path, again.adopted) == (
        packaged.tag,
        packaged.sha256,
        packaged.path,
        True,
    )
    assert (packaged.path / "bento.yaml").stat().st_mtime_ns == before
    elsewhere = inputs.package(tmp_path)
    assert (elsewhere.tag, elsewhere.sha256, elsewhere.adopted) == (packaged.tag, packaged.sha256, False)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", elsewhere.path.name]


def test_what_matters_changes_the_identity(inputs: Inputs, packaged: Packaged, tmp_path: Path) -> None:
    assert inputs.package(tmp_path, decision_threshold=0.4).sha256 != packaged.sha256
    copy = tmp_path / "copy"
    shutil.copytree(packaged.path / "src", copy)
    assert bundle.content_sha256(copy) == packaged.sha256
    (copy / "ml_platform" / "serving" / "guard.py").open("a").write("\n")
    assert bundle.content_sha256(copy) != packaged.sha256


def test_what_a_link_leads_to_is_no_part_of_a_package(packaged: Packaged, tmp_path: Path) -> None:
    """A folder behind a link would be imported before the library of the same name."""
    place = tmp_path / "copy"
    shutil.copytree(packaged.path, place)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").write_text("raise SystemExit")
    (place / "src" / "xgboost").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(PlatformError, match="does not hold the package"):
        bundle.tag_of(place, packaged.sha256)
    (place / "src" / "xgboost").unlink()
    (place / "src" / "__pycache__").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    copy = bundle.private_copy(place, tmp_path / "private", packaged.sha256)
    assert not (copy / "src" / "__pycache__").exists()
    assert [*(tmp_path / "elsewhere").iterdir()] and copy.stat().st_mode & 0o777 == 0o700


def test_another_content_is_not_copied_and_run(packaged: Packaged, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(packaged.path, place)
    (place / "src" / "xgboost.py").write_text("raise SystemExit")
    with pytest.raises(PlatformError, match="does not hold the package"):
        process.start(place, 0, tmp_path / "home", {}, tmp_path / "log", sha256=packaged.sha256)
    assert not (tmp_path / "log").exists(), "nothing was started"


def test_a_damaged_package_is_not_adopted(inputs: Inputs, packaged: Packaged, tmp_path: Path) -> None:
    place = tmp_path / packaged.path.name
    shutil.copytree(packaged.path, place)
    (place / "src" / "model" / "history.parquet").write_bytes(b"")
    again = inputs.package(tmp_path)
    assert (again.path, again.adopted) == (place, False)
    assert bundle.content_sha256(place / "src") == packaged.sha256
    assert len(list(tmp_path.glob(".damaged-*"))) == 1


@pytest.mark.parametrize(
    ("old", "new"), [("serving.entry:Service", "proving.faults.answering:Service"), ("envs: []", "envs: [{name: A}]")]
)
def test_a_description_that_starts_something_else_is_refused(
    packaged: Packaged, tmp_path: Path, old: str, new: str
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(packaged.path, place)
    assert bundle.tag_of(place, packaged.sha256) == packaged.tag
    file = place / "bento.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(PlatformError, match=r"starts another service than ml_platform\.serving\.entry"):
        bundle.tag_of(place, packaged.sha256)
    file.write_text("[")
    with pytest.raises(PlatformError, match="is damaged"):
        bundle.tag_of(place, packaged.sha256)
    file.unlink()
    with pytest.raises(PlatformError, match="is damaged"):
        bundle.tag_of(place, packaged.sha256)
    with pytest.raises(PlatformError, match="does not hold the package eeeeeeeeeeee"):
        bundle.tag_of(place, "e" * 64)


def test_a_package_runs_elsewhere_without_the_project(
    inputs: Inputs, packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    shutil.copytree(packaged.path, place)
    raw = inputs.rows(20)
    caught = tmp_path / "caught"
    guard, log = (place / "src" / "ml_platform" / "serving" / name for name in ("guard.py", "prediction_log.py"))
    evil = f"\nopen({str(caught)!r}, 'w').close()\n"
    # A PYTHONPATH is withheld from services: with it, the code of the project could answer instead.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    port = process.free_port(range(3350, 3399))
    started = process.start(place, port, tmp_path / "home", {}, tmp_path / "log", sha256=packaged.sha256)
    # After it was hashed, before it is imported. Bytecode Python would run unseen: it is not in the hash of a package.
    cached = Path(importlib.util.cache_from_source(str(guard)))
    cached.parent.mkdir(exist_ok=True)
    code = compile(guard.read_text() + evil, str(guard), "exec")
    cached.write_bytes(importlib.util.MAGIC_NUMBER + struct.pack("<L", 1) + bytes(8) + marshal.dumps(code))
    assert bundle.content_sha256(place / "src") == packaged.sha256
    sound = log.read_text()
    log.write_text(sound + evil)
    try:
        process.wait_ready(started, 60)
        with Client(started.url) as client:
            assert client.info()["sha256"] == packaged.sha256
        assert len(predict(started.url, raw)["predictions"]) == 20
    finally:
        process.stop(started.pid, started.start_time)
    assert not caught.exists()
    shutil.rmtree(cached.parent)
    log.write_text(sound)
    loaded = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=place / "src",
        env={
            "PATH": os.environ["PATH"],
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
            "BENTOML_HOME": str(tmp_path / "h"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    files, banned = json.loads(loaded.stdout.splitlines()[-1])
    assert banned == []
    assert files
    assert all(Path(file).is_relative_to(place / "src") for file in files)


PROBE = """
import json, sys
import ml_platform.serving.entry as entry
entry.Service.inner()
own = [m.__file__ for n, m in sys.modules.items() if n.startswith("ml_platform") and getattr(m, "__file__", None)]
banned = {"dagster", "mlflow", "pandera", "evidently", "shap", "sklearn", "pandas"} & set(sys.modules)
print(json.dumps([own, sorted(banned)]))
"""


def test_only_what_serving_needs_is_packaged(packaged: Packaged) -> None:
    code = {path.relative_to(packaged.path / "src").as_posix() for path in (packaged.path / "src").rglob("*.py")}
    assert {
        "ml_platform/serving/entry.py",
        "ml_platform/serving/service.py",
        "ml_platform_tests/serving/tiny.py",
    } <= code
    for folder in ("datasets", "orchestration", "training", "registry", "proving", "validation"):
        assert not any(name.startswith(f"ml_platform/{folder}/") for name in code)
    requirements = (packaged.path / "env" / "python" / "requirements.txt").read_text()
    assert "xgboost" in requirements
    assert all("==" in line for line in requirements.splitlines() if line.strip())


def test_another_model_file_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="sha256 differs"):
        inputs.package(tmp_path, model_sha256="0" * 64)


def test_a_package_names_its_entry_module(inputs: Inputs, packaged: Packaged, tmp_path: Path) -> None:
    config, _ = bundle.read(packaged.path / "src" / bundle.FOLDER)
    assert (config.entry, config.options) == ("ml_platform.serving.entry", {})
    assert "service: ml_platform.serving.entry:Service" in (packaged.path / "bento.yaml").read_text()
    with pytest.raises(PlatformError, match=r"module nowhere\.entry, which the service needs, has no source file"):
        inputs.package(tmp_path, entry="nowhere.entry")
    # A module without a service.
    with pytest.raises(PlatformError, match="service of tiny cannot be built"):
        inputs.package(tmp_path, entry="ml_platform_tests.serving.tiny")


def test_a_package_made_before_entry_modules_is_read(packaged: Packaged, tmp_path: Path) -> None:
    shutil.copytree(packaged.path / "src" / bundle.FOLDER, tmp_path / "model")
    file = tmp_path / "model" / bundle.SERVICE
    stored = json.loads(file.read_text())
    assert (stored.pop("entry"), stored.pop("options")) == (bundle.ENTRY, {})
    file.write_text(json.dumps(stored))
    config, _ = bundle.read(tmp_path / "model")
    assert (config.entry, config.options) == ("ml_platform.serving.service", {})


def test_an_example_must_fit_the_request(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="the example row does not fit"):
        inputs.package(tmp_path, example={"day": "2024-04-01"})


def test_feature_code_that_imports_training_libraries_is_refused(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "heavy"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("tiny.py"), package / "light.py")
    (package / "features.py").write_text(
        "import pandera\n\nfrom heavy.light import Tiny\n\n\nclass Heavy(Tiny):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(PlatformError, match="would import pandera"):
        inputs.package(tmp_path / "out", function_path="heavy.features:Heavy")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    # The same package's light module brings no more than itself.
    built = inputs.package(tmp_path / "out", function_path="heavy.light:Tiny")
    assert sorted(p.name for p in (built.path / "src" / "heavy").glob("*.py")) == ["__init__.py", "light.py"]


def test_what_the_users_code_imports_comes_along(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its project as files, whichever package it stands in; of libraries as pinned requirements."""
    own = {
        "packednear/__init__.py": "",
        "packednear/light.py": Path(__file__).with_name("tiny.py").read_text(),
        "packednear/features.py": """
from typing import TYPE_CHECKING

import polars as pl

from packedbeside.words import WORDS
from packednear.light import Tiny

if TYPE_CHECKING:
    import rich

try:
    import no_such_library
except ImportError:
    pass


class Near(Tiny):
    def later(self):
        from dateutil import tz

        return tz, WORDS, pl
""",
        "packedbeside/__init__.py": "",
        "packedbeside/words.py": "import json\n\nWORDS = json.dumps([])\n",
    }
    for name, text in own.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    source = inputs.package(tmp_path / "out", function_path="packednear.features:Near").path / "src"
    assert (source / "packedbeside" / "words.py").read_text() == own["packedbeside/words.py"]
    config, _ = bundle.read(source / bundle.FOLDER)
    plain, _ = bundle.read(inputs.package(tmp_path / "plain").path / "src" / bundle.FOLDER)
    assert {*config.requirements} - {*plain.requirements} == {f"python-dateutil=={version('python-dateutil')}"}
    assert config.requirements[: len(plain.requirements)] == plain.requirements
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "stray.py").write_text("")
    monkeypatch.syspath_prepend(other)
    (tmp_path / "packednear" / "features.py").write_text(f"import stray\n{own['packednear/features.py']}")
    source = inputs.package(tmp_path / "out", function_path="packednear.features:Near").path / "src"
    assert (source / "stray.py").exists(), "own code comes along from wherever on the import path it is"


def test_a_missing_feature_function_is_named(inputs: Inputs, tmp_path: Path) -> None:
    from ml_platform.features.contract import load_function

    with pytest.raises(PlatformError, match="'nowhere:f' cannot be imported"):
        load_function("nowhere:f")
