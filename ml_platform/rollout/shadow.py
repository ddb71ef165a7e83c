"""Gates on copies of requests: one request, two versions, the same id; judged before a candidate answers any.

What is compared lies in the prediction log on this machine, so that it needs no other system.
"""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.settings import Settings
from ml_platform.rollout.differences import GROUPS, Interval, of_mean, of_share
from ml_platform.rollout.pairs import COPY, ROW, SAME, log_folder, pairs
from ml_platform.rollout.record import Backend, Judged, RolloutRecord, ShadowGate
from ml_platform.rollout.sent_copies import Count, Sent
from ml_platform.serving import bundle

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

#: Words in the reason of a comparison that says nothing, since copies were invented.
_SENT = "were sent to the candidate"
#: Seconds between two comparisons, at least; and as a share of the time that the step has lasted: who looks at each new
#: request finds a pass by chance.
PAUSE, SHARE = 5.0, 0.25


def compare(settings: Settings, record: RolloutRecord, sent: Sent | None = None) -> tuple[Judged, ...]:
    """What each gate of a rollout says of the copies that its candidate has answered in the present step.

    With ``sent`` of those only that came since, and nothing passes where the log has more of them than were sent.
    Nothing without a candidate beside a stable version. Raises PlatformError for a log that cannot be read.
    """
    stable, candidate = record.stable, record.candidate
    if stable is None or candidate is None or record.started is None:
        return ()
    folder, since = log_folder(settings) / record.model, datetime.fromisoformat(record.started)
    since = max(since, sent.since) if sent is not None else since
    thresholds = _threshold(settings, stable), _threshold(settings, candidate)
    by = tuple(dict.fromkeys(name for gate in record.gates for name in gate.by))
    found = pairs(folder, since, stable.sha256, candidate.sha256, by)
    # Counted after the log was read: what it has by then was sent by then.
    if sent is not None and (why := _invented(found, sent.now(), folder)):
        return tuple(Judged(gate=gate, status="open", reason=f"{gate.name}: {why}") for gate in record.gates)
    return tuple(judged(gate, found, thresholds) for gate in record.gates)


def _invented(found: "pl.DataFrame", sent: Count | None, folder: Path) -> str:
    """Why pairs of the log are not believed; empty where no more of them are there than were sent."""
    if sent is None:
        return "nobody can say now how many copies were sent"
    for what, there, most in (
        ("requests", found["request_id"].n_unique(), sent.requests),
        ("rows", found.height, sent.rows),
    ):
        if there > most:
            return (
                f"the prediction log has answers to copies of more {what} than {_SENT} ({there}, and {most}): "
                f"somebody wrote to it; move its newest files away ({folder}), or abort the rollout"
            )
    return ""


def judged(gate: ShadowGate, found: "pl.DataFrame", thresholds: tuple[float | None, float | None]) -> Judged:
    """What a gate says of pairs, as :func:`~ml_platform.rollout.pairs.pairs` gives them.

    ``thresholds``: from which probability on the stable version and the candidate decide for the positive class. Pairs
    whose rows differ are no copies, and are left out.
    """
    import polars as pl

    others = found.filter(~pl.col(SAME)).height
    compared = _compared(gate.metric, found.filter(pl.col(SAME)), thresholds)
    rows = compared.height
    groups = _groups(compared, gate.by)
    counts: dict[str, Any] = {
        "rows": rows,
        "requests": compared["request_id"].n_unique() if rows else 0,
        "groups": int(groups.max()) + 1 if rows else 0,
    }
    of = of_share if gate.metric == "decisions" else of_mean
    interval: Interval | None = of(compared["difference"].to_numpy(), groups) if rows else None
    what = f"{gate.name}: {_words(gate.metric, interval)}"
    seen = f"{rows} rows of {counts['requests']} copied requests, {counts['groups']} groups by {_by(gate)}"
    if others:
        seen += f", without {others} rows that the two were asked differently"
    if interval is None or rows < gate.min_support:
        needs = f"{GROUPS} groups" if interval is None else f"{gate.min_support} rows"
        return Judged(gate=gate, status="open", reason=f"{what} in {seen}: it takes {needs}", **counts)
    # The whole interval lies on one side of the limit, or nobody knows yet. What is no number is on none.
    known = interval.lower <= interval.upper
    status = "passed" if interval.upper <= gate.max else "open" if known and interval.lower <= gate.max else "failed"
    reason = f"{what}, at most {gate.max:g}, in {seen}"
    numbers = interval._asdict() if known else {}
    return Judged(gate=gate, status=status, reason=reason, **numbers, **counts)


def unsent(copies: Iterable[Judged]) -> str:
    """Why these are not believed, where the log has more of them than were sent; else empty."""
    return next((one.reason for one in copies if _SENT in one.reason), "")


def _compared(metric: str, found: "pl.DataFrame", thresholds: tuple[float | None, float | None]) -> "pl.DataFrame":
    """The pairs with their ``difference``, those that have one; of ``latency`` a row for each request."""
    import polars as pl

    def both(name: str) -> tuple[pl.Expr, pl.Expr]:
        return pl.col(name), pl.col(f"{COPY}{name}")

    named = "probabilities" in found.columns
    needed = "answer_seconds" if metric == "latency" else "probabilities" if named else "prediction"
    if needed not in found.columns:
        return found.head(0).with_columns(pl.lit(None, pl.Float64).alias("difference"))
    given, copy = both(needed)
    match metric:
        case "latency":
            found, difference = found.unique("request_id", keep="first"), (copy - given) * 1000
        case "decisions" if named:
            one, other = both("prediction")
            difference = one != other
        case "decisions":
            stable, candidate = thresholds
            difference = (given >= pl.lit(stable)) != (copy >= pl.lit(candidate))
        case _ if named:
            width = found.schema["probabilities"].size  # type: ignore[attr-defined]
            difference = pl.sum_horizontal((given.arr.get(n) - copy.arr.get(n)).abs() for n in range(width)) / 2
        case _:
            difference = (copy - given).abs()
    return found.with_columns(difference.cast(pl.Float64).alias("difference")).drop_nulls("difference")


def _groups(rows: "pl.DataFrame", by: tuple[str, ...]) -> Any:
    """The group of each row, (rows,), from 0 on: rows with the same values of ``by``, of which times count by day."""
    import polars as pl

    from ml_platform.foundation.times import days

    names = by or (ROW[0],)
    columns = [days(rows[name]) if rows.schema[name].is_temporal() else rows[name] for name in names]
    return pl.DataFrame(columns).select(pl.struct(pl.all()).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()


def _words(metric: str, found: Interval | None) -> str:
    what = {
        "outputs": ("answers differ by {} [{}, {}] on average", "{:.4g}"),
        "decisions": ("{} [{}, {}] of the decisions differ", "{:.2%}"),
        "latency": ("an answer takes {} [{}, {}] ms longer on average", "{:.2f}"),
    }[metric]
    return what[0].format(*(what[1].format(one) for one in found)) if found else "nobody can say how far they differ"


def _by(gate: ShadowGate) -> str:
    return ", ".join(gate.by) or "request"


def _threshold(settings: Settings, backend: Backend) -> float | None:
    """From which probability on a package decides for the positive class. Raises PlatformError without the package."""
    config, _ = bundle.read_of(settings.local / backend.path, backend.sha256)
    return config.decision_threshold


@dataclass
class _Look:
    """The comparisons of one step of a rollout."""

    mark: object
    next: float = 0.0
    under_way: "Future[tuple[Judged, ...]] | None" = None
    found: tuple[Judged, ...] = ()


@dataclass
class Looks:
    """Comparisons in a thread, so that the supervisor waits for none; ``compare`` as the function of that name."""

    settings: Settings
    compare: Callable[[Settings, RolloutRecord, Sent | None], tuple[Judged, ...]] = compare
    _looks: dict[str, _Look] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="copies"))

    def of(self, record: RolloutRecord, sent: Sent | None) -> tuple[Judged, ...]:
        """What was found last in the present step of a rollout; nothing before the first comparison has ended.

        Nobody compares where nobody can say what was ``sent``.
        """
        mark = record.candidate and record.candidate.identity, record.step, record.started
        look = self._looks.setdefault(record.model, _Look(mark))
        if look.mark != mark:
            look = self._looks[record.model] = _Look(mark)
        if look.under_way is not None and look.under_way.done():
            try:
                look.found = look.under_way.result()
            except Exception:
                # Nobody goes on for what could not be read; the next look may find it mended.
                logger.exception("%s: the answers to copies cannot be compared", record.model)
                look.found = ()
            look.under_way = None
            look.next = time.monotonic() + max(PAUSE, SHARE * _age(record))
        if look.under_way is None and sent is not None and time.monotonic() >= look.next:
            look.under_way = self._pool.submit(self.compare, self.settings, record, sent)
        return look.found


def _age(record: RolloutRecord) -> float:
    """Seconds since the present step began."""
    return (datetime.now(UTC) - datetime.fromisoformat(record.started)).total_seconds() if record.started else 0.0
