"""The year in one picture: how well live answers rank, beside the ideal and a model that stayed as it was."""

from collections.abc import Sequence
from statistics import fmean

from ml_platform.demonstrating.year import Month
from ml_platform.documents.plots import BLUE, GREY, ORANGE, svg


def chart(months: Sequence[Month]) -> str:
    """SVG with a line each for what was live, for monthly retraining with fresh history, and for the frozen model."""
    names = [f"{month.begin:%b}" for month in months]
    with svg(1, 6.4, 3.4) as ((ax,), done):
        for label, values, colour, style in (
            ("live", [month.live for month in months], BLUE, "-"),
            ("ideal: trained anew each month", [month.ideal for month in months], GREY, "--"),
            ("ideal, with each day's outcomes", [month.fresh for month in months], GREY, ":"),
            ("frozen in June", [month.frozen for month in months], ORANGE, ":"),
        ):
            named = f"{label} ({fmean(values):.4f})"
            ax.plot(names, values, color=colour, linestyle=style, marker="o", markersize=4, label=named)
        ax.set(title="AUC of each month's flights (mean)", ylabel="AUC")
        ax.legend(frameon=False, fontsize=8)
        return done()
