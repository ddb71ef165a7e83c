"""Gates on the batches of a new table: what its own past says of days, slices, outcomes and rows, with room for more.

Each candidate is measured on every partition behind those before it, by the gate itself. What says nothing there, or
moves so much that the gate would let its error pass, is not declared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from ml_platform.creating.columns import Column
from ml_platform.creating.declarations_text import gate_line, seen_as
from ml_platform.creating.plan import Plan
from ml_platform.creating.thresholds import rounded_down
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.times import days as days_of
from ml_platform.gates.every_kind import Gate
from ml_platform.proving.suggest import FEWEST, limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


#: Newest partitions that are measured, and columns that divide the rows, at most.
_PARTITIONS, _SLICES = 36, 4
#: Most values of a column that divides rows; rows that each value of one has on average, to say what others are.
_VALUES, _ROWS_EACH = 200, 10
#: The usual significant shift, and what a normal one of a standard deviation comes to.
_PSI = (0.25, 1.0)
#: Share of the days with one value from which on a column is of the day.
_OF_THE_DAY = 0.9
#: How far values that depend on another column may lie apart.
_SPREAD = 0.01


@dataclass(frozen=True)
class Candidate:
    """A gate without its threshold, and between which limits one makes sense."""

    gate: dict[str, Any]
    #: The nearest threshold, and what the error would come to that it is there for.
    least: float
    most: float
    side: Literal["max", "min"] = "max"
    #: Declared as one gate with all others that have the same name.
    together: bool = False
    #: What was seen is a property of the table and no measure: no more room than the nearest threshold leaves.
    exact: bool = False

    @property
    def name(self) -> str:
        """What the gate is called while it is tried."""
        return str(self.gate["name"])

    def threshold(self, seen: "Sequence[float]") -> float | None:
        """Beyond what was seen, and before the error; ``None`` where there is no room between."""
        if self.side == "min":
            low = min(seen)
            return None if low <= self.least else rounded_down(low / 2)
        worst, middle = max(seen), (max(seen) + self.most) / 2
        if worst > 0.7 * self.most:
            return None
        if self.exact and worst <= self.least:
            return self.least
        # Of one or two values nobody knows how far they move.
        beyond = limit(seen, "max") if len(seen) >= FEWEST else middle
        return -rounded_down(-min(max(beyond, self.least), middle))


def candidates(plan: Plan) -> Iterator[Candidate]:
    """All gates that may be declared for the table, each under a name of its own."""
    roles = plan.roles
    slices = dividing(plan)
    yield Candidate(
        {"gate": "near_duplicates", "name": "near_duplicates", "but_for": [*roles.key]}, 0.005, 0.05, exact=True
    )
    yield from _dependencies(plan)
    if not plan.timed:
        return
    if plan.every != "day":
        period = "hour" if plan.every == "hour" else "day"
        yield Candidate({"gate": "coverage", "name": "coverage", "every": period}, 0.5, 1.0)
    for column in slices:
        yield Candidate({"gate": "coverage", "name": f"coverage_of_{column.field}"[:61], "by": [column.name]}, 0.5, 1.0)
    yield from _counts(plan, slices)
    for name in _moving(plan):
        gate = {"gate": "distribution", "name": "distribution_psi", "metric": "psi", "columns": [name]}
        yield Candidate(gate, *_PSI, together=True)
    # Of outcomes that come late a batch has none, or only the early ones, when it arrives: no gate can ask for them.
    if not plan.label_delay:
        yield from _outcomes(plan, slices)


def _outcomes(plan: Plan, slices: list[Column]) -> Iterator[Candidate]:
    roles = plan.roles
    outcomes = [name for name in dict.fromkeys((roles.target, *roles.later)) if not roles.columns[name].personal]
    plain = [name for name in outcomes if roles.columns[name].kind not in ("date", "timestamp")]
    for name in plain:
        gate = {"gate": "distribution", "name": "distribution_of_outcomes", "metric": "psi", "columns": [name]}
        yield Candidate(gate, *_PSI, together=True)
    for column in slices:
        name = f"distribution_by_{column.field}"[:61]
        gate = {"gate": "distribution", "metric": "psi", "by": [column.name], "columns": [roles.target]}
        yield Candidate({**gate, "name": name}, 0.5, 3.0)
    numbers = [name for name in plain if roles.columns[name].kind in ("int", "float")]
    if len(numbers) > 1:
        gate = {"gate": "distribution", "name": "distribution_correlation", "metric": "correlation"}
        yield Candidate({**gate, "columns": numbers[:4]}, 0.1, 0.5)
    known = {"gate": "labels", "metric": "known", "columns": [roles.target]}
    if plan.every not in ("hour", "day"):
        yield Candidate({**known, "name": "labels_known", "every": "day"}, 0.1, 0.0, "min")
    for column in slices:
        yield Candidate({**known, "name": f"labels_known_of_{column.field}"[:61], "by": [column.name]}, 0.1, 0.0, "min")
    counted, above = _label(plan)
    if not counted:
        return
    label = {"gate": "labels", "columns": [roles.target], **({"above": above} if above is not None else {})}
    if plan.every not in ("hour", "day"):
        rates = {**label, "every": "day"}
        yield Candidate({**rates, "metric": "lowest_rate", "name": "labels_lowest_rate"}, 0.02, 0.0, "min")
        yield Candidate({**rates, "metric": "highest_rate", "name": "labels_highest_rate"}, 0.0, 1.0)
    for column in slices:
        name = f"labels_change_of_{column.field}"[:61]
        yield Candidate({**label, "metric": "change", "name": name, "by": [column.name]}, 1.0, 2.2)
    against = {"against": roles.target, **({"above": above} if above is not None else {})}
    for name in _moving(plan):
        gate = {"gate": "association", "name": "association", "columns": [name], **against}
        yield Candidate(gate, 0.3, 2.0, together=True)


def _label(plan: Plan) -> tuple[bool, float | str | None]:
    """Whether the target counts as 0 and 1, and above which value: of a number the median, of two texts the first."""
    roles = plan.roles
    column = roles.columns[roles.target]
    if roles.task == "multiclass":
        return False, None
    if roles.task == "regression":
        middle = roles.frame[column.name].median()
        return isinstance(middle, float), middle if isinstance(middle, float) else None
    if column.kind == "bool":
        return True, None
    if column.kind == "text":
        return True, min(str(value) for value, _ in column.values)
    return True, None if (column.low, column.high) == (0, 1) else (column.low + column.high) / 2


def dividing(plan: Plan) -> list[Column]:
    """Columns that divide the rows into slices: those with fewest values first."""
    roles = plan.roles
    away = {*roles.later, roles.target, roles.time, roles.timestamp}
    found = [
        one for one in roles.columns.values()
        if one.name not in away and not one.personal and not one.prose and 2 <= one.distinct <= _VALUES
        and one.rows >= _ROWS_EACH * one.distinct and (one.kind in ("text", "bool") or one.identity)
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.distinct)[:_SLICES]


def _moving(plan: Plan) -> list[str]:
    """Inputs whose values are no identities, and not those of a whole day: a month has few of these."""
    import polars as pl

    roles = plan.roles
    away = {*roles.key, roles.time, roles.timestamp}
    if plan.timed:
        inputs = [name for name in plan.inputs if name not in away]
        day = days_of(roles.frame[roles.time]).alias("(day)")
        days = roles.frame.group_by(day).agg(pl.len(), pl.col(inputs).n_unique()).filter(pl.col("len") > 1)
        away |= {name for name in inputs if days.height and (days[name] == 1).mean() > _OF_THE_DAY}  # type: ignore[operator]
    return [
        name for name in plan.inputs
        if name not in away and not (one := roles.columns[name]).personal and not one.unique
        and one.kind not in ("date", "timestamp")
    ]  # fmt: skip


def _dependencies(plan: Plan) -> Iterator[Candidate]:
    """What a column says of others in every row that there is: of a shop its town."""
    import polars as pl

    roles = plan.roles
    away = {*roles.later, roles.target, roles.time, roles.timestamp, *roles.key}
    usable = [one for one in roles.columns.values() if one.name not in away and not one.personal and not one.constant]
    for column in usable:
        if column.kind not in ("text", "int") or not 3 <= column.distinct <= column.rows / _ROWS_EACH:
            continue
        others = [one.name for one in usable if one is not column and 2 <= one.distinct <= column.distinct]
        if not others:
            continue
        each = roles.frame.group_by(column.name).agg(pl.col(others).drop_nulls().n_unique())
        said = [name for name in others if each[name].max() == 1]
        if said:
            gate = {"gate": "dependency", "name": f"dependency_of_{column.field}"[:61], "by": [column.name]}
            yield Candidate({**gate, "columns": said}, _SPREAD, 1.0, exact=True)


def _counts(plan: Plan, slices: list[Column]) -> Iterator[Candidate]:
    """Whole numbers that are the number of rows of a day, or of a day's slice, in every row that there is."""
    import polars as pl

    roles = plan.roles
    frame = roles.frame
    whole = [
        one for one in roles.columns.values()
        if one.kind == "int" and not one.nulls and one.distinct > 2 and one.low >= 1 and one.high < frame.height
        and one.name not in (*roles.key, roles.target)
    ]  # fmt: skip
    names = [one.name for one in slices]
    groups = [(roles.time, *some) for size in (0, 1, 2) for some in combinations(names, size)]
    some_days = frame.filter(pl.col(roles.time) == frame[roles.time].min())
    for column in whole:
        for by in groups:
            same = pl.col(column.name) == pl.len().over(by)
            if all(bool(rows.select(same.all()).item()) for rows in (some_days, frame)):
                name = f"counts_{column.field}"[:61]
                yield Candidate(
                    {"gate": "counts", "name": name, "by": [*by], "columns": [column.name]}, 0.0, 0.01, exact=True
                )
                break


def history_gates(
    plan: Plan, context: ModelContext, now: "datetime", at: "Callable[[str], None]" = lambda _: None
) -> list[str]:
    """The gates with their thresholds and what was seen, as lines of a ``defs.yaml``; ``context`` reads the rows.

    ``at`` is told which partition is being looked at.
    """
    found = list(candidates(plan))
    tried = [
        Gate.model_validate({**one.gate, "name": f"try_{at}", one.side: one.least}) for at, one in enumerate(found)
    ]
    drafted = context.dataset.model_copy(update={"gates": tuple(tried)})
    seen = _seen(ModelContext(context.model, context.feature_set, drafted), plan, now, at)
    chosen: dict[str, list[tuple[Candidate, float, list[float]]]] = {}
    lines: list[str] = []
    for gate, one in zip(tried, found, strict=True):
        values = seen.get(gate.name, {})
        bound = one.threshold([*values.values()]) if values else None
        if bound is not None:
            chosen.setdefault(one.name, []).append((one, bound, [*values.values()]))
        elif line := _but_for_the_last(one, values, plan):
            lines.append(line)
    return [*map(_line, chosen.values()), *lines, *([] if plan.timed else _standing(plan))]


def _but_for_the_last(one: Candidate, values: dict[str, float], plan: Plan) -> str:
    """A gate that every partition keeps but the newest, where the table ends in the middle of it: it warns, since it
    would hold that one back; empty where there is none."""
    rest = [value for name, value in values.items() if name != plan.unfinished]
    bound = one.threshold(rest) if rest and len(rest) < len(values) and not one.together else None
    if bound is None:
        return ""
    ends = plan.roles.frame[plan.roles.time].max()
    gate = {**one.gate, one.side: bound, "severity": "warn"}
    return gate_line(
        _short(gate), f"{seen_as(rest, gate)} seen; {plan.unfinished} ends on {ends}: block once it is whole"
    )


def _line(parts: list[tuple[Candidate, float, list[float]]]) -> str:
    first, bounds = parts[0][0], [bound for _, bound, _ in parts]
    gate = {**first.gate, first.side: max(bounds) if first.side == "max" else min(bounds)}
    if first.together:
        gate["columns"] = [one.gate["columns"][0] for one, _, _ in parts]
    return gate_line(_short(gate), f"{seen_as((value for _, _, some in parts for value in some), gate)} seen")


def _standing(plan: Plan) -> list[str]:
    """Gates on a table that is replaced as a whole, of which nobody has seen a second delivery."""
    columns = _moving(plan)
    lines = [gate_line({"gate": "volume", "min": 0.5, "max": 2.0}, "against the delivery that it replaces")]
    if columns:
        gate = {"gate": "distribution", "metric": "psi", "columns": columns, "max": 0.25}
        lines.append(gate_line(gate, "a significant shift, by the usual rule; nothing was seen yet"))
    return lines


def _short(gate: dict[str, Any]) -> dict[str, Any]:
    """Without a name that the gate would have anyhow."""
    usual = f"{gate['gate']}_{gate['metric']}" if "metric" in gate else gate["gate"]
    return {key: value for key, value in gate.items() if key != "name" or value != usual}


def _seen(
    drafted: ModelContext, plan: Plan, now: "datetime", at: "Callable[[str], None]"
) -> dict[str, dict[str, float]]:
    """What each gate came to on every partition, behind those before it, by their names; none where it could not tell
    on one of them.

    The first one counts where it needs none before it: it is to be published, too.
    """
    from ml_platform.proving.arrivals import Arrivals, Shared
    from ml_platform.sources.partitions import WHOLE

    frame, found = plan.roles.frame, dict[str, dict[str, float]]()
    if plan.timed:
        keys = sorted(plan.partitions)[-_PARTITIONS:]
        frames = {key: plan.of(frame, key) for key in keys}
        measured, shared = {}, Shared()
        for place, key in enumerate(keys, 1):
            at(f"{len(drafted.dataset.gates)} candidates on {plan.every} {place} of {len(keys)}")
            measured[key] = Arrivals(drafted, frames, key, now, shared=shared).clean
    else:
        measured = {WHOLE: Arrivals(drafted, {WHOLE: frame}, WHOLE, now).clean}
    unable: set[str] = set()
    for key, verdicts in measured.items():
        for name, verdict in verdicts.items():
            if verdict.observed is not None and verdict.status in ("passed", "failed"):
                found.setdefault(name, {})[key] = verdict.observed
            elif not verdict.uncompared:
                unable.add(name)
    return {name: values for name, values in found.items() if name not in unable}
