"""The proof on the example: its gates as they are declared catch every broken batch of real flights."""

from pathlib import Path

import pytest
import yaml

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.pipeline import data
from ml_platform.proving import errors
from ml_platform.proving.arrivals import Arrivals
from ml_platform.proving.batches import batch_breaks
from ml_platform.proving.journal import Journal
from ml_platform.proving.newest import Error
from ml_platform.proving.power import Power
from ml_platform.proving.proof import Proof
from ml_platform.proving.prove import broken_batch
from ml_platform.proving.scratch import delivering
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.project import DATASET, MONTHS, new_project, sample_months

WEATHER = (
    "temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib, precip_6h, gust_6h, "
    "pressure_change_3h, visib_system"
)


def example(model: ModelSpec) -> ModelContext:
    """The example's dataset and features as they are declared, but for where batches come from."""
    text = (ROOT / "ml_platform" / "defs" / "flights" / "defs.yaml").read_text()
    data, features = (document["attributes"] for document in yaml.safe_load_all(text))
    return ModelContext(model, FeatureSpec.model_validate(features), DatasetSpec.model_validate({**data, **DATASET}))


#: On a sample its few values are within what the months before it had; on whole months gates see it.
TOO_FEW_ROWS = ("other unit: inches to cm", "pressure_change_3h")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_break_of_a_batch_of_the_example_is_caught(tmp_path: Path) -> None:
    """On samples of five months. Each is ingested, and judged in memory as an audit would; what passes goes on."""
    project = new_project(tmp_path / "project", sample_months(tmp_path / "flights"), arrived=MONTHS)
    context = example(project.context().model)
    with project.active() as workspace:
        proof = Proof(context, workspace, tmp_path / "scratch", 5, 30)
        proof.run_data()
        proof.run_model()
        clean, context = proof.clean, proof.context
        newest = clean.frames[clean.newest]
        breaks = list(batch_breaks(context, newest, clean.frames[clean.partitions[-2]]))
        staged, judged = proof.copy(proof.before), Arrivals(context, clean.frames, clean.newest, proof.workspace.now())
        passed = []
        for one in breaks:
            frame = one.change(newest)
            arriving = delivering(staged, {**clean.frames, clean.newest: frame})
            data.ingest(arriving, context.dataset, clean.newest, proof.run)
            if not judged.held(frame):
                passed.append(one)
        findings = [broken_batch(proof, one, staged) for one in passed]
    missed = [(finding.name, finding.case, finding.crashed) for finding in findings if not finding.by]
    assert [one for one in missed if one[:2] != TOO_FEW_ROWS] == []
    assert len(breaks) > 150


#: What went through every gate once: the error, where it is, and the largest dose that may pass.
LIMITS: dict[tuple[str, str], float] = {
    (Error.LATE, WEATHER): 3,  # hours
    (Error.UNIT, "distance where carrier UA"): 0,
    (Error.NEW_KEYS, "flight"): 0,
    (Error.UNKNOWN, ""): 1,  # days
    (Error.ALL_ZERO, ""): 1,
    (Error.SHIFTED, "temp"): 0.75,  # standard deviations
    (Error.TURNED, "origin LGA"): 0.75,  # share of its rows
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_small_errors_of_the_example_are_noticed_before_publication(tmp_path: Path) -> None:
    """On all flights of January to May, under the gates as they are declared."""
    project = new_project(tmp_path / "project", sample_months(tmp_path / "flights", rows=None), arrived=MONTHS)
    with project.active() as workspace:
        proof = Proof(example(project.context().model), workspace, tmp_path / "scratch", 5)
        power = Power(proof, Journal(tmp_path / "journal.jsonl", 1e6))
        batch = power.batch()
        cases = {(one.name, one.case): one for one in (*errors.small_errors(batch), *errors.errors_of_slices(batch))}
        limits = power.on_batches([cases[key] for key in LIMITS])
    assert [one.key for one in limits if not one.before_publication] == []
    assert [one.key for one in limits if one.below > LIMITS[one.error, one.case]] == []
