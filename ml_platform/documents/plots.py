"""Plots of an evaluation as inline SVG: same numbers, same bytes."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ml_platform.evaluation.evaluate import Evaluation

BLUE, GREY, ORANGE = "#2563a8", "#9aa3ad", "#c8641b"
#: Colours of classes, in order (Okabe and Ito 2008, told apart by everybody); more classes repeat them.
CLASSES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")


@contextmanager
def svg(count: int, width: float, height: float) -> "Iterator[tuple[list[Axes], Callable[[], str]]]":
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
    """The plots of the task side by side: ROC, precision-recall and calibration, or deciles and residuals."""
    draw = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}[evaluation.task]
    count = 2 if evaluation.task == "regression" else 3
    with svg(count, 3.6 * count, 3.3) as (axes, done):
        draw(evaluation, axes)
        return done()


def _binary(evaluation: "Evaluation", axes: "list[Axes]") -> None:
    roc, precision_recall, calibration = axes
    if "roc" in evaluation.curves:
        roc.plot(*zip(*evaluation.curves["roc"], strict=True), color=BLUE)
        precision_recall.plot(*zip(*evaluation.curves["precision_recall"], strict=True), color=BLUE)
    roc.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    auc = evaluation.metrics.get("auc")
    title = "ROC" if auc is None else f"ROC (AUC {auc:.3f})"
    roc.set(title=title, xlabel="false positive rate", ylabel="true positive rate")
    rate = evaluation.metrics["base_rate"]
    precision_recall.axhline(rate, color=GREY, linestyle="--", linewidth=1)
    precision_recall.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    _calibration(evaluation, calibration, "predicted probability", "share that happened")


def _multiclass(evaluation: "Evaluation", axes: "list[Axes]") -> None:
    roc, precision_recall, calibration = axes
    for place, name in enumerate(evaluation.classes):
        if f"roc {place}" in evaluation.curves:
            style: Any = {"color": CLASSES[place % len(CLASSES)], "label": name}
            roc.plot(*zip(*evaluation.curves[f"roc {place}"], strict=True), **style)
            precision_recall.plot(*zip(*evaluation.curves[f"precision_recall {place}"], strict=True), **style)
    roc.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    auc = evaluation.metrics.get("auc_macro")
    title = "ROC of each class" if auc is None else f"ROC of each class (mean AUC {auc:.3f})"
    roc.set(title=title, xlabel="false positive rate", ylabel="true positive rate")
    roc.legend(frameon=False, fontsize=8)
    precision_recall.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    _calibration(evaluation, calibration, "probability of the most probable class", "share that was right")


def _regression(evaluation: "Evaluation", axes: "list[Axes]") -> None:
    deciles, residuals = axes
    _calibration(evaluation, deciles, "mean prediction", "label (mean, 10-90 %)")
    points = evaluation.curves["residuals"]
    edges = [edge for edge, _ in points]
    width = edges[1] - edges[0] if len(edges) > 1 else 1.0
    residuals.bar(edges, [rows for _, rows in points], width=width, align="edge", color=BLUE)
    residuals.axvline(0, color=ORANGE, linewidth=1)
    residuals.set(title="Residuals (1st to 99th percentile)", xlabel="prediction - label", ylabel="rows")


def _calibration(evaluation: "Evaluation", ax: "Axes", xlabel: str, ylabel: str) -> None:
    table = evaluation.calibration
    x = [row["mean_prediction"] for row in table]
    y = [row["mean_label"] for row in table]
    if evaluation.task == "regression":
        below = [row["mean_label"] - row["label_p10"] for row in table]
        above = [row["label_p90"] - row["mean_label"] for row in table]
        # A mean may lie outside the percentiles of a very skewed label.
        bars = [[max(0.0, value) for value in below], [max(0.0, value) for value in above]]
        ax.errorbar(x, y, yerr=bars, color=GREY, fmt="none", linewidth=1)
    low, high = min([*x, *y]), max([*x, *y])
    ax.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
    ax.plot(x, y, color=BLUE, marker="o", markersize=4)
    title = f"Calibration (error {evaluation.calibration_error:.4g})"
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
