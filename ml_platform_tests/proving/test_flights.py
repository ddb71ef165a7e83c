"""The proof on the example: its gates as they are declared catch every broken batch of real flights."""

from pathlib import Path

import pytest
import yaml

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.proving.proof import Proof
from ml_platform.proving.prove import broken_batches
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.project import DATASET, MONTHS, new_project, sample_months


@pytest.mark.slow
def test_every_break_of_a_batch_of_the_example_is_caught(tmp_path: Path) -> None:
    """On samples of five months."""
    project = new_project(tmp_path / "project", sample_months(tmp_path / "flights"), arrived=MONTHS)
    text = (ROOT / "ml_platform" / "defs" / "flights" / "defs.yaml").read_text()
    data, features = (document["attributes"] for document in yaml.safe_load_all(text))
    context = ModelContext(
        project.context().model, FeatureSpec.model_validate(features), DatasetSpec.model_validate({**data, **DATASET})
    )
    with project.active() as workspace:
        proof = Proof(context, workspace, tmp_path / "scratch", 5, 30)
        proof.run_data()
        proof.run_model()
        findings = list(broken_batches(proof))
    assert [(finding.name, finding.case, finding.crashed) for finding in findings if not finding.by] == []
    assert len(findings) > 150
