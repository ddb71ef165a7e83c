"""What the documentation of a service says of its model, in the words that are declared."""

from pathlib import Path

import pytest

from ml_platform_tests.pipeline.served import answering
from ml_platform_tests.shop_project import MODEL, copy_of


@pytest.fixture
def package(with_models: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A package of version 1 as the step makes it."""
    project = copy_of(answering(tmp_path_factory.getbasetemp(), with_models), tmp_path / "project")
    with project.active() as workspace:
        return workspace.settings.local / project.reference(f"{MODEL}/service").path


def test_a_package_says_what_its_model_is_for_and_what_it_was_trained_on(package: Path) -> None:
    said = (package / "README.md").read_text()
    assert said.startswith(
        f"**{MODEL}**, version 1: the probability that `returned` is true, and a decision from 0.4 on"
    )
    for part in ("Limits: Made-up purchases of one shop.", "Trained on 3 partitions of `purchases`, up to 2024-03-01."):
        assert part in said
