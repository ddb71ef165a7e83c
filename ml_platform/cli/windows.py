"""What a command shows of the windows of the past: per gate what each of them gave."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from ml_platform.cli import screen
from ml_platform.gates.gate import Verdict
from ml_platform.proving.scratch import Judged
from ml_platform.proving.windows import Window

#: Stages at which the model of a window is judged.
STAGES = ("split", "evaluation", "refit")


def by_window(window: Window, judged: Iterable[Judged]) -> dict[str, Any]:
    """A window with the verdicts on its model, as JSON."""
    return {
        **window.plain(),
        "gates": [
            {
                "stage": one.stage,
                "gate": one.verdict.gate,
                "threshold": one.verdict.threshold,
                "observed": one.verdict.observed,
                "status": one.verdict.status,
                "blocking": one.verdict.blocking,
                "reason": one.verdict.reason,
            }
            for one in _on_models(judged)
            if one.partition == window.last
        ],
    }


def print_windows(console: Console, windows: list[Window], judged: Iterable[Judged]) -> None:
    """A row for each gate on models, a column for each window; an alarm has a sign behind it."""
    first = windows[0].train[0]
    titles = [f"to {window.last}" for window in windows]
    table = screen.table("gate", "threshold", *titles, title=f"Models on all partitions from {first} on (!: alarm)")
    rows: dict[str, dict[str, Verdict]] = {}
    for one in _on_models(judged):
        rows.setdefault(one.verdict.gate, {})[one.partition] = one.verdict
    for gate, verdicts in rows.items():
        threshold = next(iter(verdicts.values())).threshold
        table.add_row(gate, threshold, *(_cell(verdicts[window.last]) for window in windows))
    console.print(table)


def _on_models(judged: Iterable[Judged]) -> list[Judged]:
    return [one for one in judged if one.partition and one.stage in STAGES]


def _cell(verdict: Verdict) -> str:
    value = "-" if verdict.observed is None else f"{verdict.observed:.3g}"
    return value if verdict.passed else f"{value} !" if verdict.status == "failed" else f"{verdict.shown} !"
