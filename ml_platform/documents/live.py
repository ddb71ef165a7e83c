"""Live performance as a plot and as series of Prometheus."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ml_platform.documents.exposition import Family, exposition
from ml_platform.documents.plots import BLUE, GREY, ORANGE, svg
from ml_platform.live.performance import WHOLE, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Windows that are shown, the newest.
SHOWN = 24


def figure(windows: Sequence[Window], metrics: Sequence[str]) -> str:
    """Each metric by window with its interval, beside what the holdout showed (grey), as SVG; empty without a label."""
    told = [one for one in windows if any(name in one.metrics for name in metrics)][-SHOWN:]
    if not told:
        return ""
    with svg(len(metrics), 4.6 * len(metrics), 3.0) as (axes, done):
        for ax, metric in zip(axes, metrics, strict=True):
            _panel(ax, [one for one in told if metric in one.metrics], metric)
        return done()


def _panel(ax: "Axes", windows: Sequence[Window], metric: str) -> None:
    for place, one in enumerate(windows):
        live = one.metrics[metric]
        usual = [known.value for name, known in one.usual.get(metric, {}).items() if name != WHOLE]
        if usual:
            ax.plot([place, place], [min(usual), max(usual)], color=GREY, linewidth=8, alpha=0.4)
        colour = ORANGE if one.status == "below" else BLUE
        ax.plot([place, place], [live.lower, live.upper], color=colour, linewidth=1.5)
        ax.plot([place], [live.value], color=colour, marker="o", markersize=5)
    ax.set_xticks(range(len(windows)), [f"{one.window}\nv{one.version}" for one in windows], rotation=45, fontsize=7)
    ax.set(title=f"{metric} in use (grey: on its holdout)", ylabel=metric)


def series(model: str, windows: Sequence[Window]) -> str:
    """The newest window of each version, in the text format of Prometheus."""
    newest = {one.version: one for one in windows}
    return exposition(
        [
            Family("ml_live_predictions", "Predictions of the newest window.", _counts(model, newest, "predictions")),
            Family("ml_live_labelled", "Those of them whose label is known.", _counts(model, newest, "labelled")),
            Family(
                "ml_live_metric", "Live performance of the newest window, with its interval.", _metrics(model, newest)
            ),
            Family("ml_live_below", "1: below the evaluation; NaN: too few labels.", _below(model, newest)),
        ]
    )


Values = Iterator[tuple[dict[str, str], float]]


def _of(model: str, one: Window, **further: str) -> dict[str, str]:
    return {"model": model, "version": str(one.version), "window": one.window, **further}


def _counts(model: str, newest: dict[int, Window], name: str) -> Values:
    yield from ((_of(model, one), getattr(one, name)) for one in newest.values())


def _metrics(model: str, newest: dict[int, Window]) -> Values:
    for one in newest.values():
        for metric, found in one.metrics.items():
            for bound in ("value", "lower", "upper"):
                yield _of(model, one, metric=metric, bound=bound), getattr(found, bound)


def _below(model: str, newest: dict[int, Window]) -> Values:
    values = {"below": 1.0, "kept": 0.0, "unknown": math.nan}
    yield from ((_of(model, one), values[one.status]) for one in newest.values())
