"""What ``dg scaffold`` writes for any task can be declared; what it refuses leaves nothing behind."""

import sys
from pathlib import Path

import click
import dagster as dg
import pytest
import yaml

from ml_platform.declarations.model import ModelSpec
from ml_platform.models.task import TASKS
from ml_platform.orchestration.scaffold import ModelParams, ModelScaffolder, PlatformScaffolder
from ml_platform_tests.shop_project import FEATURES, folder_of


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder_of(tmp_path / "shop")


def scaffolded(root: Path, task: str, **format: str) -> Path:
    folder = root / "src/grocery/defs/further"
    folder.mkdir()
    params = ModelParams(features=FEATURES, target="delivery_days", task=task)
    request = dg.ScaffoldRequest("ml_platform.Model", folder, format.get("format", "yaml"), root, params)  # type: ignore[arg-type]
    ModelScaffolder().scaffold(request)
    return folder / "defs.yaml"


@pytest.mark.parametrize("task", [*TASKS, "ml_platform_tests.extending.quantile:Quantile", "quantile"])
def test_every_task_gets_a_declaration(task: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Registered beside the others, without a template of its own.
    monkeypatch.setitem(TASKS, "quantile", "ml_platform_tests.extending.quantile:Quantile")
    written = yaml.safe_load(scaffolded(root, task).read_text())
    spec = ModelSpec.model_validate(written["attributes"])
    assert spec.task == task and spec.target == "delivery_days"
    metrics = {gate.metric for gate in spec.gates if gate.gate == "champion"}
    assert "quantile" not in task or metrics == {"pinball"}


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("counts", "task: there is no 'counts'; use binary"),
        ("nowhere:Counts", "task: cannot import nowhere"),
        ("math:Counts", "task: module math has no object 'Counts'"),
        ("math:pi", "task: math:pi is float"),
        ("builtins:dict", "task: "),
    ],
)
def test_what_is_no_task_is_one_line_and_leaves_no_folder(task: str, reason: str, root: Path) -> None:
    with pytest.raises(click.ClickException) as caught:
        scaffolded(root, task)
    assert caught.value.message.startswith(reason) and "\n" not in caught.value.message
    assert not (root / "src/grocery/defs/further").exists()


def test_the_platform_brings_what_a_project_has_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without dagster.yaml Dagster would write into the root, and retry what was refused."""
    (root / "dagster.yaml").unlink()
    (root / ".gitignore").write_text("*.log\n")
    platform = root / "src/grocery/defs/platform"
    (platform / "defs.yaml").unlink()
    request = dg.ScaffoldRequest("ml_platform.Platform", platform, "yaml", root, None)  # type: ignore[arg-type]
    PlatformScaffolder().scaffold(request)
    assert "retry_on_asset_or_op_failure: false" in (root / "dagster.yaml").read_text()
    assert (root / ".gitignore").read_text() == "*.log\n/.local/\n"
    assert capsys.readouterr().out.splitlines() == [
        "Wrote dagster.yaml.",
        "Wrote .gitignore.",
    ]
    before = (root / "dagster.yaml").read_text()
    (platform / "defs.yaml").unlink()
    (root / "dagster.yaml").write_text(before + "# mine\n")
    PlatformScaffolder().scaffold(request)
    assert (root / "dagster.yaml").read_text() == before + "# mine\n"


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        ("my-model", {}, "'my-model' is no name for assets"),
        ("other", {"features": "purchases/nope"}, "there is no feature set 'purchases/nope'"),
        ("other", {"target": "nope"}, "purchases/features has no label 'nope'; it has "),
    ],
)
def test_what_would_not_load_is_one_line_and_leaves_no_folder(
    name: str, params: dict[str, str], reason: str, root: Path
) -> None:
    folder = root / "src/grocery/defs" / name
    folder.mkdir()
    request = dg.ScaffoldRequest("ml_platform.Model", folder, "yaml", root, ModelParams(**params))  # type: ignore[arg-type]
    with pytest.raises(click.ClickException) as caught:
        ModelScaffolder().scaffold(request)
    assert reason in caught.value.message and "\n" not in caught.value.message
    assert not folder.exists()


def test_another_format_leaves_no_folder(root: Path) -> None:
    with pytest.raises(click.ClickException, match="declared in YAML"):
        scaffolded(root, "binary", format="python")
    assert not (root / "src/grocery/defs/further").exists()
