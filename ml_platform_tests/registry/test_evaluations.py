"""Evaluations are kept with their number, and those of the form before are read."""

import json
from pathlib import Path

import pytest

from ml_platform.documents import report
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.pipeline.mlflow_training import train_and_log
from ml_platform.registry import evaluations
from ml_platform_tests.evaluation.fitted import PARAMETERS, SPLIT, fitted, measured
from ml_platform_tests.training.synthetic import NAMES, PROVENANCE, frames, tracking_below


def test_a_kept_evaluation_can_be_read_back(tmp_path: Path) -> None:
    tracking = tracking_below(tmp_path)
    reference = train_and_log(
        *(tracking, SPLIT, lambda: iter(frames(SPLIT.train)), NAMES, "late", "binary", PARAMETERS),
        run_id="dagster-1",
        training_key="key",
        provenance=PROVENANCE,
        threads=1,
    )
    assert reference.sha256 == fitted(SPLIT).reference.sha256
    with pytest.raises(MissingReference):
        evaluations.load(tracking, reference)
    evaluation, _ = measured(SPLIT)
    html = report.render(evaluation, reference)
    for _ in range(2):
        uri = evaluations.save(tracking, evaluation, reference, html)
    assert uri == f"runs:/{reference.mlflow_run_id}/{evaluations.REPORT_ARTIFACT}"
    assert tracking.read_artifact(reference.mlflow_run_id, evaluations.REPORT_ARTIFACT).decode() == html
    assert evaluations.load(tracking, reference) == evaluation
    logged = tracking.client.get_run(reference.mlflow_run_id).data.metrics
    assert logged["holdout.auc"] == pytest.approx(evaluation.metrics["auc"])


def test_the_form_before_had_no_number_and_fewer_fields() -> None:
    evaluation, _ = measured(SPLIT)
    document = json.loads(evaluations.written(evaluation))
    assert document["format"] == evaluations.FORMAT == 2
    before = {name: value for name, value in document.items() if name not in ("format", "contributions_by")}
    assert evaluations.read(json.dumps(before), "x") == evaluation


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"format": 3}', "x: it has format 3, this release reads up to 2"),
        ("[]", "x: it cannot be read"),
        ('{"format": 2, "model": "m"}', "x: it cannot be read"),
        ("{", "x: it cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(content: str, reason: str) -> None:
    with pytest.raises(PlatformError, match=reason):
        evaluations.read(content, "x")
