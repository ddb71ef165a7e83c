"""Plots of an evaluation as inline SVG: same numbers, same bytes."""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ml_platform.evaluation.evaluation import Evaluation

BLUE, GREY, ORANGE = "#2563a8", "#9aa3ad", "#c8641b"
#: Colours of classes, in order (Okabe and Ito 2008, told apart by everybody); more classes repeat them.
CLASSES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")


@contextmanager
def svg(count: int, width: float, height: float) -> "Generator[tuple[list[Axes], Callable[[], str]]]":
    """``count`` axes side by side (sizes in inches), and a function that gives them as SVG, inside the block."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Text stays text. Ids come from a fixed salt and no date is written: equal input gives equal bytes.
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "ml-platform", "font.size": 9}
    with matplotlib.rc_context(style):
        canvas = FigureCanvasSVG(Figure(figsize=(width, height), layout="constrained"))
        axes = list(canvas.figure.subplots(1, count, squeeze=False)[0])
        for ax in axes:
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(color="#e6e9ec", linewidth=0.6)
            ax.set_axisbelow(True)

        def done() -> str:
            buffer = io.StringIO()
            canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
            text = buffer.getvalue()
            return text[text.index("<svg") :]

        yield axes, done


def figure(evaluation: "Evaluation") -> str:
    """Curves of the task and its calibration side by side: ROC and precision-recall, or residuals."""
    residuals = "residuals" in evaluation.curves
    with svg(2 if residuals else 3, 7.2 if residuals else 10.8, 3.3) as (axes, done):
        if residuals:
            _calibration(evaluation, axes[0])
            _residuals(evaluation, axes[1])
        else:
            _rocs(evaluation, axes[0], axes[1])
            _calibration(evaluation, axes[2])
        return done()


def _rocs(evaluation: "Evaluation", roc: "Axes", precision_recall: "Axes") -> None:
    """One curve each, or one for each class."""
    classes = evaluation.classes
    for index, (ending, name) in enumerate([(f" {at}", name) for at, name in enumerate(classes)] or [("", "")]):
        if f"roc{ending}" in evaluation.curves:
            style: Any = {"color": CLASSES[index % len(CLASSES)], "label": name} if classes else {"color": BLUE}
            roc.plot(*zip(*evaluation.curves[f"roc{ending}"], strict=True), **style)
            precision_recall.plot(*zip(*evaluation.curves[f"precision_recall{ending}"], strict=True), **style)
    roc.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    auc = evaluation.metrics.get("auc_macro" if classes else "auc")
    title = "ROC of each class" if classes else "ROC"
    measured = "" if auc is None else f" ({'mean ' if classes else ''}AUC {auc:.3f})"
    roc.set(title=f"{title}{measured}", xlabel="false positive rate", ylabel="true positive rate")
    if classes:
        roc.legend(frameon=False, fontsize=8)
    if "base_rate" in evaluation.metrics:
        precision_recall.axhline(evaluation.metrics["base_rate"], color=GREY, linestyle="--", linewidth=1)
    precision_recall.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))


def _residuals(evaluation: "Evaluation", ax: "Axes") -> None:
    points = evaluation.curves["residuals"]
    edges = [edge for edge, _ in points]
    width = edges[1] - edges[0] if len(edges) > 1 else 1.0
    ax.bar(edges, [rows for _, rows in points], width=width, align="edge", color=BLUE)
    ax.axvline(0, color=ORANGE, linewidth=1)
    ax.set(title="Residuals (1st to 99th percentile)", xlabel="prediction - label", ylabel="rows")


def _calibration(evaluation: "Evaluation", ax: "Axes") -> None:
    task = evaluation.kind()
    table = evaluation.calibration
    x = [row["mean_prediction"] for row in table]
    y = [row["mean_label"] for row in table]
    if task.output == "value":
        below = [row["mean_label"] - row["label_p10"] for row in table]
        above = [row["label_p90"] - row["mean_label"] for row in table]
        # A mean may lie outside the percentiles of a very skewed label.
        bars = [[max(0.0, value) for value in below], [max(0.0, value) for value in above]]
        ax.errorbar(x, y, yerr=bars, color=GREY, fmt="none", linewidth=1)
    low, high = min([*x, *y]), max([*x, *y])
    ax.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
    ax.plot(x, y, color=BLUE, marker="o", markersize=4)
    title = f"Calibration (error {evaluation.calibration_error:.4g})"
    ax.set(title=title, xlabel=task.axes[0], ylabel=task.axes[1])
