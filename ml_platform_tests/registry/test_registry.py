import subprocess
import sys
from pathlib import Path

import pytest

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.ledger.chain import GENESIS
from ml_platform.registry.registry import Registry
from ml_platform_tests.registry.models import registered, trained
from ml_platform_tests.training.synthetic import tracking_below

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tracking_below(tmp_path_factory.mktemp("registry")))


def test_registering_again_adopts_the_version_and_keeps_its_approval(registry: Registry) -> None:
    reference = trained(registry, "again")
    first = registered(registry, reference)
    assert (first.version, first.approval, first.ledger_head) == (1, "pending", GENESIS)
    assert first.model_ref == reference
    registry.set_approval("again", 1, "approved", by="Ada", reason="meets the gates")
    second = registered(registry, reference, approval="pending")
    assert second == first.model_copy(update={"approval": "approved"})
    other = registered(registry, trained(registry, "again", seed=1))
    assert (other.version, other.approval) == (2, "pending")
    assert [version.version for version in registry.versions("again")] == [1, 2]
    assert registry.latest("again") == other
    assert registry.card(first) == "# A card"


def test_an_equal_file_of_another_task_is_no_version_of_this_one(registry: Registry) -> None:
    """Its gates measured something else."""
    reference = trained(registry, "m")
    registered(registry, reference, "approved")
    with pytest.raises(PlatformError, match=r"version 1 has the same file .* judged as binary, not as regression"):
        registered(registry, reference.model_copy(update={"task": "regression"}))
    assert [version.version for version in registry.versions("m")] == [1]


def test_a_version_is_visible_to_mlflow_with_tags_source_and_card(registry: Registry) -> None:
    reference = trained(registry, "visible")
    registered(registry, reference)
    version = registry.tracking.client.get_model_version("visible", "1")
    assert version.run_id == reference.mlflow_run_id
    assert version.tags["team"] == "flights"
    assert version.tags["ml_platform.model_sha256"] == reference.sha256
    assert version.description == "# A card"
    uri = registry.tracking.client.get_model_version_download_uri("visible", "1")
    assert uri == f"runs:/{reference.mlflow_run_id}/model"


def test_a_kill_right_after_creation_leaves_a_whole_version(registry: Registry) -> None:
    reference = trained(registry, "killed")
    code = """
import os, sys
from pathlib import Path
from ml_platform.registry.registry import Registry
from ml_platform_tests.registry.models import registered, trained
from ml_platform_tests.training.synthetic import tracking_below
registry = Registry(tracking_below(Path(sys.argv[1])))
create = registry.tracking.client.create_model_version
def create_and_die(*arguments, **keywords):
    create(*arguments, **keywords)
    os.kill(os.getpid(), 9)
registry.tracking.client.create_model_version = create_and_die
registered(registry, trained(registry, "killed"))
"""
    folder = str(registry.tracking.artifact_root.parent)
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert registered(registry, reference).version == 1
    assert len(registry.versions("killed")) == 1


@pytest.mark.slow
def test_processes_that_register_at_once_make_one_version(registry: Registry) -> None:
    trained(registry, "together")
    code = """
import sys
from pathlib import Path
from ml_platform.registry.registry import Registry
from ml_platform_tests.registry.models import registered, trained
from ml_platform_tests.training.synthetic import tracking_below
registry = Registry(tracking_below(Path(sys.argv[1])))
print(registered(registry, trained(registry, "together")).version)
"""
    folder = str(registry.tracking.artifact_root.parent)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["1", "1"]
    assert len(registry.versions("together")) == 1


def test_decisions_keep_who_and_why(registry: Registry) -> None:
    registered(registry, trained(registry, "decided"))
    assert registry.decision("decided", 1) is None
    assert registry.set_approval("decided", 1, "rejected", by="Ada", reason="drift").approval == "rejected"
    decision = registry.decision("decided", 1)
    assert decision is not None and (decision["by"], decision["reason"]) == ("Ada", "drift")
    registry.set_approval("decided", 1, "rejected", by="Bob", reason="again")
    assert registry.decision("decided", 1) == decision
    with pytest.raises(PlatformError, match="give a name and a reason"):
        registry.set_approval("decided", 1, "approved", by=" ", reason="x")
    with pytest.raises(PlatformError, match="no decision"):
        registry.set_approval("decided", 1, "pending", by="Ada", reason="x")  # type: ignore[arg-type]


def test_aliases_move_and_remember_the_version_before(registry: Registry) -> None:
    first, second, third = (registered(registry, trained(registry, "moving", seed)) for seed in range(3))
    assert registry.champion("moving") is None and registry.previous("moving") is None
    registry.set_alias("moving", "champion", 1)
    assert registry.champion("moving") == first and registry.previous("moving") is None
    registry.set_alias("moving", "champion", 2)
    registry.set_alias("moving", "champion", 2)
    assert registry.previous("moving") == first
    registry.set_alias("moving", "champion", 3)
    registry.set_alias("moving", "challenger", 1)
    assert (registry.champion("moving"), registry.previous("moving")) == (third, second)
    assert registry.aliases("moving") == {"champion": 3, "challenger": 1}
    registry.set_alias("moving", "champion", 2)
    assert (registry.champion("moving"), registry.previous("moving")) == (second, first)
    assert [registry.get("moving", name) for name in ("challenger", "1", 1)] == [first] * 3


def test_what_is_unknown_is_named_with_the_way_out(registry: Registry) -> None:
    registered(registry, trained(registry, "known"))
    assert registry.versions("unknown") == []
    for find in (registry.latest, registry.champion, registry.previous):
        assert find("unknown") is None
    with pytest.raises(MissingReference, match="materialize unknown/registered_model first"):
        registry.get("unknown", 1)
    with pytest.raises(MissingReference, match="no version 7; take one of the versions 1 or aliases none"):
        registry.get("known", 7)
    with pytest.raises(MissingReference, match="no alias champion"):
        registry.get("known", "champion")
    with pytest.raises(MissingReference, match="no version 7"):
        registry.set_alias("known", "champion", 7)
    with pytest.raises(PlatformError, match="MLflow reserves it"):
        registry.set_alias("known", "latest", 1)
    with pytest.raises(MissingReference):
        registry.get("it's", 1)


def test_versions_of_others_and_changed_files_are_not_taken_for_ours(registry: Registry) -> None:
    client = registry.tracking.client
    client.create_registered_model("foreign")
    client.create_model_version("foreign", source="s3://elsewhere/model")
    with pytest.raises(PlatformError, match="foreign version 1 lacks the tags"):
        registry.get("foreign", 1)
    reference = trained(registry, "changed")
    with pytest.raises(PlatformError, match="not the recorded"):
        registered(registry, reference.model_copy(update={"sha256": "0" * 64}))
    assert registry.versions("changed") == []


def test_a_long_card_is_kept_whole_beside_a_short_description(registry: Registry) -> None:
    reference = trained(registry, "long")
    card = "# Card\n" + "a line\n" * 2000
    version = registry.register(reference, approval="approved", ledger_head="", tags={}, card_markdown=card)
    assert registry.card(version) == card
    described = client_description(registry, "long")
    assert len(described) <= 5000 and described.startswith("# Card") and "model_card.md" in described


def client_description(registry: Registry, model: str) -> str:
    return registry.tracking.client.get_model_version(model, "1").description or ""
