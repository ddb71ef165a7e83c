"""The evaluation as one HTML file that needs nothing else: text, tables and inline SVG."""

from typing import TYPE_CHECKING, Any

from ml_platform.evaluation.evaluate import Evaluation
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.provenance import Provenance
from ml_platform.references.refs import ModelRef, ReportRef

if TYPE_CHECKING:
    from pathlib import Path

    from ml_platform.registry.tracking import Tracking

#: Artifact paths inside the MLflow run of the model.
REPORT_ARTIFACT = "evaluation/report.html"
JSON_ARTIFACT = "evaluation/evaluation.json"


def number(value: Any) -> str:
    """A value for a table: four significant digits, thousands grouped, a dash for what is undefined."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def render(evaluation: Evaluation, reference: ModelRef) -> str:
    """The report as HTML; equal input gives equal text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from ml_platform.documents import summaries
    from ml_platform.documents.plots import figure

    environment = Environment(
        loader=PackageLoader("ml_platform.documents", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = number
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    template = environment.get_template("report.html.j2")
    # The figures are SVG of matplotlib, which escapes the names that it writes.
    drawn = {
        "figure": figure(evaluation),
        "beeswarm": summaries.beeswarm(evaluation),
        "slices": summaries.slices(evaluation),
        "disparities": summaries.disparities(evaluation),
        "shift": summaries.shift(evaluation),
    }
    return template.render(e=evaluation, m=reference, **{name: Markup(plot) for name, plot in drawn.items()})


def publish(
    tracking: "Tracking",
    evaluation: Evaluation,
    reference: ModelRef,
    folder: "Path",
    *,
    run_id: str,
    provenance: Provenance,
) -> ReportRef:
    """Write the report below ``folder`` and keep report, JSON and metrics in the model's MLflow run.

    Repeating it replaces the same files and metrics. Raises PlatformError where MLflow cannot be written.
    """
    html = render(evaluation, reference)
    path = write_atomic(folder / f"{reference.model}-{reference.sha256[:16]}.html", html)
    tracking.log_artifact(reference.mlflow_run_id, JSON_ARTIFACT, evaluation.model_dump_json(indent=1))
    uri = tracking.log_artifact(reference.mlflow_run_id, REPORT_ARTIFACT, html)
    tracking.log(
        reference.mlflow_run_id,
        metrics={f"holdout.{name}": value for name, value in evaluation.metrics.items()},
    )
    return ReportRef(
        run_id=run_id,
        provenance=provenance,
        model=reference.model,
        sha256=reference.sha256,
        manifest_sha256=reference.manifest_sha256,
        mlflow_run_id=reference.mlflow_run_id,
        html=str(path),
        uri=uri,
        metrics=evaluation.metrics,
        model_ref=reference,
    )


def load(tracking: "Tracking", reference: ModelRef) -> Evaluation:
    """The published evaluation of a model. Raises MissingReference where there is none."""
    return Evaluation.model_validate_json(tracking.read_artifact(reference.mlflow_run_id, JSON_ARTIFACT))
