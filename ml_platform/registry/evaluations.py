"""Evaluations as they are kept: JSON, report and metrics in the MLflow run of the model."""

import json

from pydantic import ValidationError

from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.references.refs import ModelRef
from ml_platform.registry.tracking import Tracking

#: Artifact paths inside the MLflow run of the model.
REPORT_ARTIFACT = "evaluation/report.html"
JSON_ARTIFACT = "evaluation/evaluation.json"
#: Number of the JSON's form: raised when it changes, with a reader for the one before. 1 had no number.
FORMAT = 2


def save(tracking: Tracking, evaluation: Evaluation, reference: ModelRef, html: str) -> str:
    """Keep an evaluation and its report; returns the URI of the report.

    Repeating it replaces the same files and metrics. Raises PlatformError where MLflow cannot be written.
    """
    tracking.log_artifact(reference.mlflow_run_id, JSON_ARTIFACT, written(evaluation))
    uri = tracking.log_artifact(reference.mlflow_run_id, REPORT_ARTIFACT, html)
    tracking.log(
        reference.mlflow_run_id,
        metrics={f"holdout.{name}": value for name, value in evaluation.metrics.items()},
    )
    return uri


def load(tracking: Tracking, reference: ModelRef) -> Evaluation:
    """The kept evaluation of a model. Raises MissingReference where there is none, PlatformError as :func:`read`."""
    return read(tracking.read_artifact(reference.mlflow_run_id, JSON_ARTIFACT), f"evaluation of {reference.model}")


def content(evaluation: Evaluation) -> str:
    """sha256 of an evaluation as it is kept."""
    return sha256_bytes(written(evaluation))


def written(evaluation: Evaluation) -> str:
    """An evaluation as JSON, with the number of its form."""
    # What came later is there only where it says something, so that older ones keep their hash.
    later = set() if evaluation.contributions_unit else {"contributions_unit"}
    return json.dumps({"format": FORMAT, **evaluation.model_dump(mode="json", exclude=later)}, indent=1)


def read(content: bytes | str, name: str) -> Evaluation:
    """An evaluation from JSON of this form or the one before; ``name`` is for messages.

    Raises PlatformError for a form of a later release, and for content that is none.
    """
    try:
        document = json.loads(content)
        number = document.pop("format", 1)
        if number > FORMAT:
            raise PlatformError(f"{name}: it has format {number}, this release reads up to {FORMAT}; upgrade it")
        # Between 1 and 2 fields were added, all with a default.
        return Evaluation.model_validate(document)
    except (ValueError, AttributeError, TypeError, ValidationError) as error:
        raise PlatformError(
            f"{name}: it cannot be read ({str(error).splitlines()[0]}); evaluate the model again"
        ) from error
