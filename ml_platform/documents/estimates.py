"""Estimates of performance as one HTML file: what was estimated beside what it came to, and what is not known yet."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; color: #1d2530; max-width: 1000px; margin: 2rem auto; }
h1 { font-size: 1.6rem; } p { color: #56606d; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid #e3e7eb; text-align: left; }"""


def figure(table: Sequence[Mapping[str, Any]], off: Mapping[str, float]) -> str:
    """A panel for each metric: estimates (open, with their error where no outcome is known) and truth, as SVG.

    Records have ``partition``, ``metric``, ``estimated`` and ``actual`` (None: not known yet); ``off`` has the largest
    error of a metric in the past. Empty without records.
    """
    from ml_platform.documents.plots import BLUE, ORANGE, svg

    metrics = list(dict.fromkeys(row["metric"] for row in table))
    if not metrics:
        return ""
    with svg(len(metrics), 4.2 * len(metrics), 3.0) as (axes, done):
        for ax, metric in zip(axes, metrics, strict=True):
            rows = [row for row in table if row["metric"] == metric]
            places = range(len(rows))
            known = [
                (place, row["actual"]) for place, row in zip(places, rows, strict=True) if row["actual"] is not None
            ]
            give = [0.0 if row["actual"] is not None else off.get(metric, 0.0) for row in rows]
            estimated = [row["estimated"] for row in rows]
            ax.errorbar(
                places, estimated, yerr=give, fmt="o", mfc="white", color=ORANGE, markersize=6, label="estimated before"
            )
            if known:
                ax.plot(*zip(*known, strict=True), "o", color=BLUE, markersize=4, label="measured after")
            ax.set_xticks(places, [row["partition"] for row in rows], rotation=60, ha="right")
            ax.set(title=metric.replace("_", " "))
            ax.legend(frameon=False, fontsize=8)
        return done()


def render(title: str, text: str, table: Sequence[Mapping[str, Any]], off: Mapping[str, float]) -> str:
    """The page; equal input gives equal text."""

    def cell(value: Any) -> str:
        return "not known yet" if value is None else f"{value:.4g}" if isinstance(value, float) else escape(str(value))

    columns = ("partition", "rows", "metric", "estimated", "actual", "error")
    head = "".join(f"<th>{name}</th>" for name in columns)
    rows = "\n".join(f"<tr>{''.join(f'<td>{cell(row[name])}</td>' for name in columns)}</tr>" for row in table)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n"
        "<p>Estimates from how sure the outputs were, and no measurement: they hold as far as outputs still mean what "
        "they meant where outcomes are known. A changed relation of features to outcomes is not seen by them.</p>\n"
        f"{figure(table, off)}\n"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>\n</body></html>\n"
    )
