"""What is to be written: names, partitions, features and gates that fit the table."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from ml_platform.creating.columns import ONE_HOT, Column, plain
from ml_platform.creating.identity import group_of
from ml_platform.creating.periods import Every, few_rows, late_of, partitions_for
from ml_platform.creating.roles import Roles, by_the_hour
from ml_platform.features.contract import feature_of
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import some
from ml_platform.foundation.times import comparable
from ml_platform.serving.schema import unservable
from ml_platform.sources.partitions import Partitions
from ml_platform.training.split import SplitRule

if TYPE_CHECKING:
    import polars as pl

#: Share of the partitions, or of the groups, that is held out.
HOLDOUT = 0.2
#: Days from which on a month of the year has been seen more than once.
_SEASONS = 730
#: Features from texts of many values together, about, and of each of them at least.
_WIDEST, _LEAST = 200, 3


@dataclass(frozen=True)
class Feature:
    """A feature of a row: its name and the expression that makes it."""

    name: str
    expression: str


@dataclass(frozen=True)
class Categories:
    """Values of a column that get a feature each, as Python writes them."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Past:
    """The past mean of the outcome ``of`` for each value of a column."""

    name: str
    of: str
    by: str


@dataclass
class Plan:
    """Everything that the files say."""

    name: str
    model: str
    roles: Roles
    #: None without time.
    every: Every | None
    start: date | None
    #: Partitions that have ended, with their rows.
    partitions: dict[str, int]
    #: Number of newest partitions that are held out; without time 0.
    holdout: int
    #: Days until outcomes are known.
    label_delay: int = 0
    inputs: tuple[str, ...] = ()
    features: list[Feature] = field(default_factory=list)
    categories: list[Categories] = field(default_factory=list)
    pasts: list[Past] = field(default_factory=list)
    #: Outcome that is averaged to its expression.
    outcomes: dict[str, str] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    #: Columns left out of the features, and why.
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        """Whether there are partitions."""
        return self.every is not None

    @property
    def windows(self) -> Partitions:
        """The declared partitions."""
        assert self.every and self.start
        return Partitions(every=self.every, start=self.start)

    @property
    def begins(self) -> str:
        """Key of the first partition."""
        return self.windows.key(self.windows.start)

    @property
    def held_out(self) -> date:
        """Beginning of the first partition that is held out."""
        return self.windows.window(_labelled(self)[-self.holdout])[0]

    @property
    def unfinished(self) -> str:
        """The newest partition where the table ends before the last day of it; empty where it does not."""
        if not self.timed or self.every in ("hour", "day"):
            return ""
        key = max(self.partitions)
        last = self.roles.frame[self.roles.time].max()
        assert isinstance(last, date)
        return key if last < self.windows.window(key)[1] - timedelta(days=1) else ""

    def of(self, frame: "pl.DataFrame", key: str) -> "pl.DataFrame":
        """The rows of a partition."""
        first, after = self.windows.window(key)
        times = comparable(frame[self.roles.time], first)
        return frame.filter((times >= first) & (times < after))

    @property
    def label(self) -> str:
        """Name of the label."""
        return self.roles.label


def plan_of(name: str, roles: Roles, every: Every | None, now: datetime) -> Plan:
    """Plan the files for a table with these roles. Raises TooSparse where its time makes too few partitions."""
    chosen, start, partitions = (None, None, {}) if not roles.time else partitions_for(roles, every, now)
    roles = by_the_hour(roles) if chosen == "hour" else roles
    if every and not roles.time:
        raise PlatformError(f"--every {every}: the table has no time; name its column with --time")
    label = roles.label.rstrip("_")
    model = label if label.startswith(f"{name}_") else f"{name}_{label}"
    model = model if model != name else f"{name}_model"
    plan = Plan(name, model[:61], roles, chosen, start, partitions, holdout=0)
    if chosen:
        plan.label_delay = late_of(roles, chosen)
        plan.holdout = max(1, round(HOLDOUT * len(_labelled(plan))))
    if chosen and partitions and (few := few_rows(partitions)):
        roles.notes.append(
            f"{(roles.timestamp or roles.time)!r} goes over {len(partitions)} {chosen}s with {few} rows in most of "
            "them, which say little of a model; where it is not when a row was seen: --time COLUMN, or --time none"
        )
    if late := plan.label_delay:
        told = (
            f"{roles.target!r} is not known yet in the newest {late} days: outcomes are taken to come so late, and no"
        )
        roles.notes.append(f"{told} gate asks for them when a batch arrives")
    _features(plan)
    if not plan.features and not plan.categories and not plan.pasts:
        raise PlatformError(
            f"nothing is left to learn from: {'; '.join(f'{key}: {why}' for key, why in plan.left_out.items())}"
        )
    return plan


def _labelled(plan: Plan) -> list[str]:
    """Partitions whose outcomes are known. Raises PlatformError where they are too few to train and to judge."""
    windows, keys = plan.windows, sorted(plan.partitions)
    try:
        return SplitRule(label_delay=plan.label_delay).labelled(windows, keys, windows.window(keys[-1])[1])
    except PlatformError:
        told = f"{plan.roles.target!r} is not known yet in the newest {plan.label_delay} days"
        raise PlatformError(f"{told}, which leaves no {plan.every} to learn from; bring more time") from None


def _features(plan: Plan) -> None:
    """Decide what becomes of each column."""
    if not plan.roles.time and not plan.roles.group:
        _group(plan)
    roles = plan.roles
    away = {roles.target: "the target", **dict.fromkeys(roles.later, "known only later")}
    apart = dict.fromkeys(roles.group, "its rows are held out together, so a model meets none that it knows")
    inputs = [*roles.key, *([roles.time] if roles.time else []), *roles.group]
    names: set[str] = {*roles.columns, roles.label}
    calendar = _calendar(roles)
    averaged: list[Column] = []
    hot: list[Column] = []
    for column in roles.columns.values():
        # They are features by their parts, whatever else they are.
        if column.name in (roles.time, roles.timestamp):
            continue
        if why := away.get(column.name) or _unfit(column, roles) or apart.get(column.name):
            plan.left_out[column.name] = why
            continue
        if column.kind in ("int", "float", "bool") and not column.identity:
            name = _free(column.field if column.name not in roles.key else f"{column.field}_value", names, column.name)
            plan.features.append(Feature(name, f"pl.col({quoted(column.name)})"))
        elif column.kind in ("date", "timestamp"):
            if not roles.time:
                plan.left_out[column.name] = "a date, and no time to count from"
                continue
            name = _free(f"days_since_{column.field}", names)
            when, day = (
                f"pl.col({quoted(one.name)}){'.dt.date()' if one.kind == 'timestamp' else ''}"
                for one in (roles.columns[roles.time], column)
            )
            plan.features.append(Feature(name, f"({when} - {day}).dt.total_days()"))
        elif column.distinct <= ONE_HOT:
            hot.append(column)
        elif plan.timed:
            averaged.append(column)
        elif column.identity or column.distinct > 0.2 * column.rows:
            plan.left_out[column.name] = f"{column.distinct} values, too many for a feature each"
            continue
        else:
            hot.append(column)
        if column.name not in inputs:
            inputs.append(column.name)
    for name, expression in calendar:
        plan.features.append(Feature(_free(name, names), expression))
        if roles.timestamp and roles.timestamp in expression and roles.timestamp not in inputs:
            inputs.append(roles.timestamp)
    many = [column for column in hot if column.distinct > ONE_HOT]
    most = max(_LEAST, min(ONE_HOT, _WIDEST // max(len(many), 1)))
    for column in hot:
        _one_hot(plan, column, names, most if column in many else ONE_HOT)
    if many:
        told = some([repr(column.name) for column in many], 10)
        roles.notes.append(f"{told}: the {most} most frequent of more than {ONE_HOT} values get a feature")
    if averaged:
        _pasts(plan, averaged, names)
    plan.inputs = tuple(name for name in roles.columns if name in inputs)
    plan.slices = tuple(column.name for column in hot if column.distinct <= ONE_HOT)[:4]


def _unfit(column: Column, roles: Roles) -> str:
    if unservable(column.name):
        return "a request cannot carry its name"
    if column.personal:
        return f"personal, by {column.personal}"
    if column.constant:
        return "no value at all" if column.nulls == column.rows else "one value only"
    if column.name in roles.odd and column.distinct > ONE_HOT:
        return roles.odd[column.name]
    if column.name == roles.row_id or (column.name in roles.key and column.unique):
        return "it names the row"
    if column.prose:
        return "prose"
    if (column.identity or column.kind == "text") and column.distinct > 0.5 * column.rows:
        return "nearly every row has another value"
    if column.counting:
        return "it counts the rows"
    return ""


def _group(plan: Plan) -> None:
    """Rows of one customer stay together where a column names customers."""
    roles = plan.roles
    if name := group_of(roles.columns, roles.key, (*roles.later, roles.target)):
        plan.roles = replace(roles, group=(name,))
        roles.notes.append(f"rows of one {name!r} stay together when rows are held out; other columns: --group")


def _calendar(roles: Roles) -> list[tuple[str, str]]:
    """Names and expressions of the features from the time."""
    if not roles.time:
        return []
    days = roles.frame[roles.time]
    day = f"pl.col({quoted(roles.time)})"
    found = []
    if days.dt.weekday().n_unique() > 1:
        found.append(("weekday", f"{day}.dt.weekday()"))
    first, last = days.min(), days.max()
    if isinstance(first, date) and isinstance(last, date) and last.toordinal() - first.toordinal() >= _SEASONS:
        found.append(("month", f"{day}.dt.month()"))
    moment = roles.timestamp or roles.time
    if roles.columns[moment].kind == "timestamp" and roles.frame[moment].dt.hour().n_unique() > 1:
        found.append(("hour", f"pl.col({quoted(moment)}).dt.hour()"))
    return found


def _one_hot(plan: Plan, column: Column, names: set[str], most: int) -> None:
    """A feature for each of the most frequent values; two values need one only."""
    values = [value for value, count in column.values if count >= max(5, 0.002 * column.rows)][:most]
    if column.distinct == 2 and not column.nulls:
        values = values[-1:]
    values, own = sorted(values), [feature_of(column.name, value) for value in values]
    if len(set(own)) == len(own) and not names.intersection(own) and all(map(str.isidentifier, own)):
        names.update(own)
        plan.categories.append(Categories(column.name, tuple(literal(column, value) for value in values)))
    else:
        # Values that differ in signs alone have names that were given one by one.
        for value in values:
            name = _free(plain(f"{column.field}_{value}")[:60], names)
            plan.features.append(Feature(name, f"pl.col({quoted(column.name)}) == {literal(column, value)}"))


def _pasts(plan: Plan, columns: list[Column], names: set[str]) -> None:
    """Past means of the target for categories of many values."""
    roles = plan.roles
    target = f"pl.col({quoted(roles.target)})"
    if roles.task == "binary":
        told = f" == {literal(roles.columns[roles.target], roles.positive)}" if roles.positive is not None else ""
        plan.outcomes[roles.label] = f"({target}{told}).cast(pl.Int64)" if told else f"{target}.cast(pl.Int64)"
    elif roles.task == "multiclass":
        for name in roles.classes[:5]:
            value = literal(roles.columns[roles.target], name)
            plan.outcomes[_free(f"is_{plain(name)}", names)] = f"({target} == {value}).cast(pl.Int64)"
    else:
        unit = _unit(roles)
        scaled = f"({target} * {unit})" if unit != 1 else target
        plan.outcomes[roles.label if unit == 1 else _free(f"{roles.label}_in_{unit}ths", names)] = (
            f"{scaled}.round().cast(pl.Int64)"
            if roles.columns[roles.target].kind == "float"
            else f"{scaled}.cast(pl.Int64)"
        )
    for column in columns:
        for of in plan.outcomes:
            past = Past(_free(f"past_{of}_by_{column.field}"[:60], names), of, column.name)
            plan.pasts.append(past)
    told = some([repr(column.name) for column in columns], 10)
    roles.notes.append(f"{told}: more than {ONE_HOT} values, so each enters by the past mean of the target")


def _unit(roles: Roles) -> int:
    """By what a number is multiplied before it is rounded, so that three digits of its spread stay."""
    if roles.columns[roles.target].kind == "int":
        return 1
    spread = roles.frame[roles.target].std()
    wanted = 100.0 / float(spread) if isinstance(spread, float) and spread > 0 else 1.0
    return int(next((unit for unit in (1, 10, 100, 1_000, 10_000, 100_000) if unit >= wanted), 1_000_000))


def _free(name: str, names: set[str], own: str = "") -> str:
    """A name that nothing else has; ``own`` is the column that may keep its name."""
    found = (
        name
        if name == own
        else next(
            one for number in range(1, 10_000) if (one := name if number == 1 else f"{name}_{number}") not in names
        )
    )
    names.add(found)
    return found


def literal(column: Column, value: object) -> str:
    """A value of a column as Python writes it."""
    return str(value) if column.kind == "int" else quoted(value)


def quoted(value: object) -> str:
    """A text as Python writes it, in double quotes."""
    import json

    return json.dumps(str(value), ensure_ascii=False)
