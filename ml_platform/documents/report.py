"""The evaluation as one HTML file that needs nothing else: text, tables and inline SVG."""

from typing import Any

from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.references.refs import ModelRef


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
    return template.render(
        e=evaluation, m=reference, task=evaluation.kind(), **{name: Markup(plot) for name, plot in drawn.items()}
    )
