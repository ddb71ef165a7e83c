"""Detection limits as one HTML file: a plot of every limit by kind of error, and a table of all of them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Where an error is noticed: before publication, or later.
NOTICED, LATER, NEVER = "before publication", "later", "by no gate asked"
#: What doses are counted in, in words.
UNITS = {"rows": "share of rows", "days": "days", "hours": "hours", "sd": "standard deviations"}


def when(limit: Mapping[str, Any]) -> str:
    """Whether a limit lies before publication, later, or nowhere."""
    if limit["dose"] is None:
        return NEVER
    return NOTICED if limit["before_publication"] else LATER


def figure(limits: Sequence[Mapping[str, Any]]) -> str:
    """One panel for each unit, one line for each kind of error, one dot for each place; as SVG.

    ``limits`` are measured ones with ``error``, ``unit``, ``dose`` (``None``: unnoticed), ``doses`` and
    ``before_publication``.
    """
    from ml_platform.documents.plots import svg

    by_unit = {unit: [one for one in limits if one["unit"] == unit] for unit in UNITS}
    panels = {unit: found for unit, found in by_unit.items() if found}
    if not panels:
        return ""
    lines = max(len({one["error"] for one in found}) for found in panels.values())
    with svg(len(panels), 4.6 * len(panels), 1.3 + 0.36 * lines) as (axes, done):
        for ax, (unit, found) in zip(axes, panels.items(), strict=True):
            _panel(ax, unit, found)
        return done()


def _panel(ax: "Axes", unit: str, limits: Sequence[Mapping[str, Any]]) -> None:
    from ml_platform.documents.plots import BLUE, GREY, ORANGE

    kinds = list(dict.fromkeys(one["error"] for one in limits))
    doses = [dose for one in limits for dose in one["doses"]]
    beyond = max(doses) * 2
    for colour, mark, asked in ((BLUE, "o", NOTICED), (ORANGE, "s", LATER), (GREY, "x", NEVER)):
        points: dict[tuple[int, float], int] = {}
        x, y = [], []
        for one in limits:
            if when(one) != asked:
                continue
            line, dose = kinds.index(one["error"]), one["dose"] or beyond
            # Equal limits lie above each other, ten to a line.
            place = points[line, dose] = points.get((line, dose), -1) + 1
            x.append(dose)
            y.append(line - 0.35 + 0.07 * (place % 11))
        ax.scatter(x, y, s=14, color=colour, marker=mark, label=asked, linewidths=1)
    ax.set_xscale("log")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_ylim(len(kinds) - 0.4, -0.6)
    ax.set_xlim(min(doses) / 1.5, beyond * 1.4)
    ticks = [10.0**power for power in range(math.ceil(math.log10(min(doses))), math.floor(math.log10(max(doses))) + 1)]
    ax.set_xticks([*ticks, beyond], [*(f"{tick:g}" for tick in ticks), "none"])
    ax.set_xticks([], minor=True)
    ax.set(title=UNITS[unit], xlabel="smallest dose that is noticed")
    ax.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, -0.02), ncols=3)


def render(about: Mapping[str, Any]) -> str:
    """The page; ``about`` is the JSON of ``ml-platform prove --power`` with the texts of its rows."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("ml_platform.documents", ""), autoescape=True, undefined=StrictUndefined
    )
    measured = [one for one in about["limits"] if one["measured"]]
    # matplotlib escapes the names that it writes.
    drawn = Markup(figure(measured))
    return environment.get_template("detection.html.j2").render(a=about, measured=measured, figure=drawn, when=when)
