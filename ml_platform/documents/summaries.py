"""Plots of an evaluation that show many groups or features at once: SHAP values, slices, disparities, shift."""

from typing import TYPE_CHECKING, Any

from ml_platform.documents.plots import BLUE, CLASSES, GREY, ORANGE, svg

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import Evaluation

#: Most groups of a column, and features, that are drawn.
SHOWN = 12
#: Customary limits of the population stability index: below the first nothing has moved, above the second much has.
PSI_LIMITS = (0.1, 0.25)


def beeswarm(evaluation: "Evaluation") -> str:
    """SHAP values of sampled rows, a line of dots per feature, coloured by the feature's value; "" without any."""
    import numpy as np

    table = evaluation.beeswarm
    if not table:
        return ""
    with svg(1, 8.6, 0.36 * len(table) + 1.0) as (axes, done):
        (ax,) = axes
        for line, row in enumerate(table):
            shap, value = np.array(row["shap"]), np.array([np.nan if v is None else v for v in row["value"]])
            # Dots that would lie on each other are stacked, as a histogram turned on its side.
            bins = np.digitize(shap, np.linspace(shap.min(), shap.max() + 1e-12, 60))
            height = np.zeros(len(shap))
            for place in np.unique(bins):
                inside = np.flatnonzero(bins == place)
                height[inside] = (np.arange(len(inside)) - (len(inside) - 1) / 2) / 40
            height = np.clip(height, -0.4, 0.4)
            known = np.isfinite(value)
            y = len(table) - 1 - line
            ax.scatter(shap[~known], y + height[~known], s=5, color=GREY, linewidths=0)
            dots = ax.scatter(
                *(shap[known], y + height[known]), s=5, c=value[known], cmap="coolwarm", vmin=0, vmax=1, linewidths=0
            )
            if not line:
                bar = ax.figure.colorbar(dots, ax=ax, fraction=0.03, pad=0.02, ticks=[0, 1])
                bar.ax.set_yticklabels(["low", "high"])
                bar.outline.set_visible(False)
        ax.axvline(0, color=GREY, linewidth=1)
        ax.set_yticks(range(len(table)), [row["feature"] for row in reversed(table)])
        unit = evaluation.contributions_unit or evaluation.kind().unit
        ax.set(
            xlabel=f"SHAP value ({unit}); colour: value of the feature, grey: missing", ylim=(-0.6, len(table) - 0.4)
        )
        return done()


def slices(evaluation: "Evaluation") -> str:
    """One metric of the largest groups of each slice column, beside the whole holdout; "" without slices."""
    name = evaluation.kind().compared[0]
    overall = evaluation.metrics.get(name)
    columns: dict[str, list[dict[str, Any]]] = {}
    for column, rows in evaluation.slices.items():
        known = [row for row in rows if row["supported"] and row.get(name) is not None]
        if len(known) > 1:
            columns[column] = sorted(known, key=lambda row: -row["rows"])[:SHOWN]
    if not columns or overall is None:
        return ""
    tallest = max(len(rows) for rows in columns.values())
    # One scale for all: a small spread must not look like a large one.
    values = [overall, *(row[name] for rows in columns.values() for row in rows)]
    room = 0.05 * (max(values) - min(values)) or 0.01
    limits = (min(values) - room, max(values) + room)
    with svg(len(columns), 2.9 * len(columns), 0.24 * tallest + 1.1) as (axes, done):
        for ax, (column, rows) in zip(axes, columns.items(), strict=True):
            ax.axvline(overall, color=GREY, linestyle="--", linewidth=1)
            ax.hlines(range(len(rows)), overall, [row[name] for row in rows], color="#cfd6dd", linewidth=2)
            ax.plot([row[name] for row in rows], range(len(rows)), "o", color=BLUE, markersize=5)
            ax.set_yticks(range(len(rows)), [_short(row["group"]) for row in rows])
            ax.set(
                title=column.replace("_", " "), xlabel=name.replace("_", " "), ylim=(tallest - 0.4, -0.6), xlim=limits
            )
        return done()


def disparities(evaluation: "Evaluation") -> str:
    """Differences between the groups of each column with their intervals; "" where nothing was decided."""
    kinds = ("demographic_parity_difference", "equalized_odds_difference")
    found = {column: one.disparities for column, one in evaluation.fairness.items() if one.disparities}
    if not found:
        return ""
    with svg(1, 7.2, 0.42 * len(found) + 1.1) as (axes, done):
        (ax,) = axes
        for offset, kind, colour in zip((-0.12, 0.12), kinds, (CLASSES[0], CLASSES[1]), strict=True):
            for line, column in enumerate(found):
                one = found[column][kind]
                ax.plot([one.lower, one.upper], [line + offset] * 2, color=colour, linewidth=1.5)
                label = kind.replace("_", " ") if not line else None
                ax.plot([one.value], [line + offset], "o", color=colour, markersize=5, label=label)
        ax.set_yticks(range(len(found)), [column.replace("_", " ") for column in found])
        ax.set(xlabel="difference between the groups, 95 % interval (0 is parity)", ylim=(len(found) - 0.5, -0.5))
        ax.set_xlim(left=0)
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return done()


def shift(evaluation: "Evaluation") -> str:
    """Features that have moved most from training to holdout, by PSI; "" where it was not measured."""
    table = list(evaluation.drift.items())[:SHOWN]
    if not table:
        return ""
    with svg(1, 7.2, 0.26 * len(table) + 1.0) as (axes, done):
        (ax,) = axes
        colours = [ORANGE if value > PSI_LIMITS[1] else BLUE for _, value in table]
        ax.barh(range(len(table)), [value for _, value in table], color=colours, height=0.65)
        for limit in PSI_LIMITS:
            ax.axvline(limit, color=GREY, linestyle="--", linewidth=1)
        ax.set_yticks(range(len(table)), [name for name, _ in table])
        ax.set(xlabel="population stability index, holdout against training", ylim=(len(table) - 0.4, -0.6))
        return done()


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
