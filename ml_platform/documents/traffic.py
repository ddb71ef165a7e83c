"""Drift of what a model is asked and answers, as a plot and as series of Prometheus."""

from collections.abc import Sequence

from ml_platform.documents.exposition import Family, exposition
from ml_platform.documents.plots import BLUE, GREY, svg
from ml_platform.live.drift_rule import DriftRule
from ml_platform.live.traffic import TrafficWindow, share

#: Windows that are shown, the newest.
SHOWN = 24


def figure(windows: Sequence[TrafficWindow], rule: DriftRule) -> str:
    """Share of drifted inputs, and PSI of the outputs, by window beside the rule (grey), as SVG; empty without any."""
    told = [one for one in windows if one.inputs][-SHOWN:]
    if not told:
        return ""
    names = [f"{one.window}\nv{one.version}" for one in told]
    panels = [
        ("share of inputs beyond PSI", [share(one, rule) for one in told], rule.share),
        ("PSI of the outputs", [one.outputs or 0.0 for one in told], rule.psi),
    ]
    with svg(len(panels), 9.2, 3.0) as (axes, done):
        for ax, (title, values, limit) in zip(axes, panels, strict=True):
            ax.axhline(limit, color=GREY, linewidth=1.5)
            ax.plot(range(len(told)), values, color=BLUE, marker="o", markersize=5)
            ax.set_xticks(range(len(told)), names, rotation=45, fontsize=7)
            ax.set(title=title, ylim=(0, None))
        return done()


def series(model: str, windows: Sequence[TrafficWindow]) -> str:
    """The newest window of each version that is compared, in the text format of Prometheus."""
    newest = {one.version: one for one in windows if one.inputs}

    def of(one: TrafficWindow, **further: str) -> dict[str, str]:
        return {"model": model, "version": str(one.version), "window": one.window, **further}

    inputs = [(of(one, column=name), psi) for one in newest.values() for name, psi in one.inputs.items()]
    outputs = [(of(one), one.outputs) for one in newest.values() if one.outputs is not None]
    return exposition(
        [
            Family("ml_live_input_psi", "PSI of an input beside the rows that were trained on.", inputs),
            Family("ml_live_output_psi", "PSI of the outputs beside those for the holdout.", outputs),
        ]
    )
