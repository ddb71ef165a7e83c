"""How far what a version was asked, and what it answered, moved from what it learned from, window by window."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.live.drift_rule import DriftRule

#: Fewest rows for a statement on a window: the PSI of equal distributions is then about 0.02 by chance.
LEAST_ROWS = 1000
#: Columns that a statement names.
TOLD = 4

Status = Literal["drifted", "same", "unknown"]


class TrafficWindow(BaseModel):
    """What one version was asked in one stretch of time, by the days of the events, and what it answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: First day of the window.
    window: str
    version: int
    rows: int
    #: First day with rows, and the last.
    first: str
    last: str
    #: PSI of each input beside the rows that the version was trained on; empty with too few rows.
    inputs: dict[str, float] = {}
    #: PSI of the outputs beside those for its holdout, of several classes the largest; None with too few rows.
    outputs: float | None = None
    #: Why nothing is compared; empty where it is.
    why: str = ""


class Statement(NamedTuple):
    """What the newest windows of a version come to."""

    status: Status
    said: str
    #: The newest window that counts, and whose it is.
    window: str = ""
    version: int = 0


def share(window: TrafficWindow, rule: DriftRule) -> float:
    """Share of the inputs that are beyond the rule's PSI, from 0 to 1."""
    return sum(one > rule.psi for one in window.inputs.values()) / len(window.inputs) if window.inputs else 0.0


def drifted(window: TrafficWindow, rule: DriftRule) -> list[str]:
    """What of a window counts as drifted: ``inputs``, ``outputs``."""
    found = ["inputs"] if share(window, rule) > rule.share else []
    return found + (["outputs"] if window.outputs is not None and window.outputs > rule.psi else [])


def judge(windows: Sequence[TrafficWindow], rule: DriftRule, open_: str = "") -> Statement:
    """What the windows of one version come to: drifted where as many of its newest ones are as the rule asks for.

    ``open_`` names the window that is not over: its first days are no month, so it is shown and does not count.
    """
    over = [one for one in windows if one.window != open_ and one.inputs][-rule.window :]
    if not over:
        return Statement("unknown", _too_little(windows, open_))
    found = {one.window: drifted(one, rule) for one in over}
    kinds = {kind: [name for name, each in found.items() if kind in each] for kind in ("inputs", "outputs")}
    status: Status = "drifted" if any(len(names) >= rule.partitions for names in kinds.values()) else "same"
    last = over[-1]
    told = "; ".join(
        f"{kind} drifted in {len(names)} of the {len(over)} newest windows ({', '.join(names)})"
        for kind, names in kinds.items()
        if names
    )
    far = ", ".join(f"{name} {value:.2f}" for name, value in _largest(last.inputs))
    outputs = "" if last.outputs is None else f", of the outputs {last.outputs:.2f}"
    return Statement(
        status,
        f"{told or 'it was asked and answered as it learned and was evaluated'}, {rule.partitions} of {rule.window} "
        f"count; in {last.window} the PSI of "
        f"{share(last, rule):.0%} of {len(last.inputs)} inputs is beyond {rule.psi:g} ({rule.share:.0%} allowed), "
        f"largest: {far}{outputs}",
        last.window,
        last.version,
    )


def _largest(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: -item[1])[:TOLD]


def _too_little(windows: Sequence[TrafficWindow], open_: str) -> str:
    if not windows:
        return "it was not asked yet"
    last = windows[-1]
    if last.why:
        return f"in {last.window}: {last.why}"
    if last.window == open_:
        return f"{last.rows:,} rows since {last.first}; a window counts once it is over"
    return f"{last.rows:,} rows in {last.window}; {LEAST_ROWS:,} are the least for a statement"
