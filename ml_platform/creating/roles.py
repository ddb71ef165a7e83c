"""Which column of a table is what: time, key, target, what is known only later, what names a person."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from keyword import iskeyword
from typing import TYPE_CHECKING, Literal

from ml_platform.creating.columns import Column, look, plain
from ml_platform.creating.identity import key_of
from ml_platform.creating.near_copies import COPY, STRONG, alone, filled_in
from ml_platform.creating.questions import Questions
from ml_platform.creating.tables import Table
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import meant, some
from ml_platform.serving.schema import unservable

if TYPE_CHECKING:
    import polars as pl

TaskName = Literal["binary", "multiclass", "regression"]

#: Fewest rows with a value of the target: of fewer, every threshold would be chance.
ROWS = 50
#: Most values of a target that are classes; a number with more is predicted as a number.
CLASSES = 20
#: What people call the class that they look for, in small letters.
_POSITIVE = (
    "yes",
    "y",
    "true",
    "t",
    "1",
    "positive",
    "pos",
    "churned",
    "late",
    "fraud",
    "bad",
    "default",
    "failed",
    "sick",
)
#: What is said in place of a column where a table has no time.
NO_TIME = "none"
#: Name of the column that is added, the first that the table does not have.
_DAY = ("day", "event_day", "day_of_event")


@dataclass(frozen=True)
class Wishes:
    """What was given on the command line; empty: to be guessed."""

    target: str
    time: str = ""
    key: tuple[str, ...] = ()
    known_later: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    #: Whether no column is taken for the time.
    timeless: bool = False


@dataclass
class Roles:
    """The table with the part that each column plays."""

    #: Rows with the added columns, as the source delivers them.
    frame: "pl.DataFrame"
    columns: dict[str, Column]
    target: str
    label: str
    task: TaskName
    #: Value of a binary target that counts as 1; None where it is 0 or 1 already.
    positive: str | None
    #: Values of a multiclass target as text, in order.
    classes: tuple[str, ...]
    #: Column with the day; empty without time. The timestamp that it is made from, where it is.
    time: str
    timestamp: str
    key: tuple[str, ...]
    row_id: str
    group: tuple[str, ...]
    #: Columns that are known no sooner than the target.
    later: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    #: Columns of text that hold numbers in a form that is not read, with what to do about it.
    odd: dict[str, str] = field(default_factory=dict)


def roles_of(table: Table, wishes: Wishes, questions: Questions) -> Roles:
    """Decide the part of every column. Raises PlatformError for a wish that the table cannot fulfil."""
    frame, notes = table.frame, list(table.notes)
    columns = look(frame)
    given = wishes.time if wishes.time != NO_TIME or NO_TIME in columns else ""
    for name in (wishes.target, *filter(None, [given]), *wishes.key, *wishes.known_later, *wishes.group):
        if name not in columns:
            raise PlatformError(
                f"there is no column {name!r}; the table has {some([*columns], 20)}{meant(name, columns)}"
            )
    for name in (*filter(None, [given]), *wishes.key, *wishes.group):
        if unservable(name):
            raise PlatformError(f"{name!r} is a name that a request cannot carry; rename the column")
    target = columns[wishes.target]
    if target.nulls == target.rows or target.constant:
        raise PlatformError(
            f"target {target.name!r} has one value only, so there is nothing to learn; bring rows with another, or "
            "take another --target"
        )
    if target.rows - target.nulls < ROWS:
        raise PlatformError(
            f"{target.rows - target.nulls} rows with a value of {target.name!r} are too few to learn from and to judge "
            f"by: bring {ROWS}, better some hundreds"
        )
    if target.name in table.odd and target.distinct > 2:
        raise PlatformError(f"target {target.name!r} is {table.odd[target.name]}")
    task, positive, classes = _task(target, notes)
    time = _time(table, columns, wishes, questions, notes)
    later = _later(frame, columns, wishes, time, task, questions, notes)
    timestamp = ""
    if time and columns[time].kind == "timestamp":
        timestamp, time = time, next(name for name in _DAY if name not in columns)
        frame = frame.with_columns(frame[timestamp].dt.date().alias(time))
        notes.append(f"the source adds {time!r}, the day of {timestamp!r}")
    key, row_id = key_of(frame, columns, wishes.key, (wishes.target, *later), time or timestamp, notes)
    if row_id:
        frame = frame.with_columns(_rows(table, frame.height).alias(row_id))
    known = look(frame)
    label = plain(target.name)
    # It is a name in Python, too.
    label = f"{label}_" if iskeyword(label) else label
    return Roles(
        frame=frame,
        columns=known,
        target=target.name,
        label=label,
        task=task,
        positive=positive,
        classes=classes,
        time=time,
        timestamp=timestamp,
        key=key,
        row_id=row_id,
        group=wishes.group,
        later=later,
        notes=notes,
        odd=table.odd,
    )


def _rows(table: Table, rows: int) -> "pl.Expr":
    """As the source makes them: unique texts; the names of the files do not matter here."""
    import polars as pl

    return pl.concat_str([pl.lit(f"{table.name}:"), pl.int_range(1, rows + 1).cast(pl.String)])


def _task(target: Column, notes: list[str]) -> tuple[TaskName, str | None, tuple[str, ...]]:
    """What kind of target it is, the value that counts as positive, the classes."""
    if target.kind in ("date", "timestamp"):
        raise PlatformError(f"target {target.name!r} is a date; make it a number of days, or a class")
    names = [str(value) for value, _ in target.values]
    if target.kind == "bool":
        return "binary", None, ()
    if target.kind in ("int", "float") and target.distinct == 2 and (target.low, target.high) == (0, 1):
        return "binary", None, ()
    if target.distinct == 2 and target.kind in ("text", "int"):
        positive = next((one for one in names if one.lower() in _POSITIVE), names[-1])
        notes.append(f"the class looked for is {target.name} = {positive!r} (1), against the other (0)")
        return "binary", positive, ()
    if target.kind == "text" or (target.kind == "int" and target.distinct <= CLASSES and _compact(target)):
        if target.distinct > CLASSES:
            raise PlatformError(
                f"target {target.name!r} is text with {target.distinct} values, and more than {CLASSES} classes are "
                "too many; a number has to be written without signs and commas"
            )
        few = [name for name, count in zip(names, (count for _, count in target.values), strict=True) if count < 10]
        if few:
            raise PlatformError(
                f"target {target.name!r}: fewer than 10 rows are {', '.join(few[:5])}; join rare classes with others"
            )
        ordered = sorted(names, key=int) if target.kind == "int" else sorted(names)
        return "multiclass", None, tuple(ordered)
    return "regression", None, ()


def _compact(target: Column) -> bool:
    """Whether whole numbers name classes rather than count: few of them, 0 or 1 to their number, each of many rows."""
    return (
        target.low in (0, 1)
        and target.high - target.low + 1 == target.distinct
        and target.distinct <= 10
        and all(count >= 0.02 * target.rows for _, count in target.values)
    )


def _time(table: Table, columns: dict[str, Column], wishes: Wishes, questions: Questions, notes: list[str]) -> str:
    """The column with the time of the event; empty where there is none."""
    if wishes.timeless:
        return ""
    if wishes.time == NO_TIME and NO_TIME not in columns:
        notes.append("the rows are divided by a hash, as --time none says, and nothing is said of later times")
        return ""
    if wishes.time:
        column = columns[wishes.time]
        if wishes.time in table.unclear:
            one, other = table.unclear[wishes.time]
            raise PlatformError(
                f"--time: of {wishes.time!r} nobody can tell whether it is {one} or {other}; write ISO dates"
            )
        if column.kind not in ("date", "timestamp"):
            raise PlatformError(f"--time: {wishes.time!r} holds no dates in a form that is known; write ISO dates")
        if column.nulls:
            raise PlatformError(
                f"--time: {column.nulls} rows have no {wishes.time!r} and would belong to no partition; take another "
                "column, or leave them out"
            )
        if column.birth:
            notes.append(f"{wishes.time!r} is a date of birth by its name, and the time because --time says so")
        return wishes.time
    for name, (one, other) in table.unclear.items():
        notes.append(f"{name!r} may be {one} or {other}: it is kept as text; write ISO dates to use it")
    dated = [
        one for one in columns.values()
        if one.kind in ("date", "timestamp") and not one.nulls and not one.personal and _long(one)
        and one.name not in wishes.known_later and not unservable(one.name)
    ]  # fmt: skip
    births = [one.name for one in columns.values() if one.birth and one.name not in wishes.known_later]
    if births and not dated:
        notes.append(
            f"{births[0]!r} is a date of birth by its name, which says nothing of when a row was seen; name the column "
            "that does with --time COLUMN"
        )
    if not dated:
        notes.append("there is no time: the rows are divided by a hash, and nothing is said of later times")
        return ""
    # What happens first is what a prediction is asked for at; since when somebody is a customer is no event of it.
    first = min(
        dated,
        key=lambda one: (one.standing, -sum(_before(table.frame, one, other) for other in dated), one.name),
    )
    if len(dated) == 1:
        notes.append(f"the time is {first.name!r}, the only date that every row has")
        return first.name
    chosen = questions.choose(
        f"Which column is the time of the event: {', '.join(one.name for one in dated)}?", first.name, list(columns)
    )
    notes.append(f"the time is {chosen!r} of {', '.join(repr(one.name) for one in dated)}; another: --time")
    return chosen


def _long(column: Column) -> bool:
    """Whether it goes over some days, or of a timestamp some hours: else there is no earlier and later."""
    low, high = column.low, column.high
    if isinstance(low, datetime) and isinstance(high, datetime):
        return high - low >= timedelta(hours=6)
    return isinstance(low, date) and isinstance(high, date) and high - low >= timedelta(days=3)


def by_the_hour(roles: Roles) -> Roles:
    """The roles of a table that is divided by hours: its time is the timestamp itself, and no day is added."""
    if not roles.timestamp:
        return roles
    frame, added = roles.frame.drop(roles.time), f"the source adds {roles.time!r}, the day of {roles.timestamp!r}"
    return replace(
        roles,
        frame=frame,
        columns=look(frame),
        time=roles.timestamp,
        timestamp="",
        key=tuple(roles.timestamp if name == roles.time else name for name in roles.key),
        notes=[note for note in roles.notes if note != added],
    )


def _before(frame: "pl.DataFrame", one: Column, other: Column) -> bool:
    """Whether one time is never after the other."""
    import polars as pl

    first, second = (frame[column.name].cast(pl.Datetime("us")) for column in (one, other))
    return one.name != other.name and bool((first <= second).all())


def _later(
    frame: "pl.DataFrame",
    columns: dict[str, Column],
    wishes: Wishes,
    time: str,
    task: TaskName,
    questions: Questions,
    notes: list[str],
) -> tuple[str, ...]:
    """Columns that are known no sooner than the target: those named, copies of the target, times after the event."""
    found = [name for name in wishes.known_later if name != wishes.target]
    others = [
        one.name for one in columns.values()
        if one.name not in (wishes.target, time, *found, *wishes.key) and not one.constant and not one.unique
    ]  # fmt: skip
    if columns[wishes.target].kind == "float" or task == "regression":
        others += [
            one.name for one in columns.values() if one.kind == "float" and one.unique and one.name != wishes.target
        ]
    others = list(dict.fromkeys(others))
    scores = alone(frame, wishes.target, others, number=task == "regression")
    copies = [one for one in scores if one.score >= COPY]
    known = {one.column for one in copies}
    filled = filled_in(
        frame, wishes.target, [name for name in others if name not in known], number=task == "regression"
    )
    copies += [replace(one, measure=f"whether it is there: {one.measure}") for one in filled]
    if copies:
        told = ", ".join(f"{one.column!r} ({one.measure} {one.score:.3f})" for one in copies)
        if questions.confirm(f"{told} alone nearly is {wishes.target!r}. Known only later?", True):
            found += [one.column for one in copies]
            notes.append(f"{told} alone nearly is the target: taken for known only later, and for no feature")
        else:
            notes.append(f"{told} alone nearly is the target, and is said to be known before it")
    for one in scores:
        if STRONG <= one.score < COPY and one.column not in found:
            notes.append(
                f"{one.column!r} alone predicts the target well ({one.measure} {one.score:.3f}); where it is known "
                f"only later, say --known-later {one.column!r}"
            )
    if time:
        after = [
            one for one in columns.values()
            if one.kind == columns[time].kind and one.name not in (time, wishes.target, *found, *wishes.key)
            and _before(frame, columns[time], one) and (frame[one.name] > frame[time]).mean() > 0.5  # type: ignore[operator]
        ]  # fmt: skip
        for one in after:
            found.append(one.name)
            notes.append(f"{one.name!r} lies after {time!r}: taken for known only later, and for no feature")
    return tuple(name for name in columns if name in found)
