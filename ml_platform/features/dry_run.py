"""What breaks the contract of a feature function, all at once, on a few rows: before any batch has been read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from ml_platform.features import calls
from ml_platform.features.build import lacking_columns
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.features.daily import without_time, wrong_days, wrong_key, wrong_outcome
from ml_platform.foundation.raised import raised

if TYPE_CHECKING:
    import polars as pl

#: Rows that are tried one by one.
_ALONE = 20


def broken(function: FeatureFunction, raw: "pl.DataFrame") -> Iterator[str]:
    """A line for each thing that would fail with rows such as ``raw``: names, types, and what the function raises."""
    yield from _names(function)
    if function.time and (days := wrong_days(function.time, raw.schema.get(function.time))) is not None:
        yield days
    if not function.time and function.histories:
        yield without_time(function.histories)
    tried = _Tried(function, raw)
    # As in a service: a function that reads what is known only afterwards fails here.
    rows = tried.frame("rows", raw.select(function.inputs))
    if rows is not None:
        yield from lacking_columns(function, rows)
        yield from _beyond_their_row(function, raw, rows)
        types = rows.schema
        for name in function.columns:
            if name in types and (text := _no_number(types[name])):
                yield f"feature {name!r} is {text}, no number; encode it in rows(), or leave it to histories and slices"
        for column in dict.fromkeys(column for history in function.histories for column in history.by):
            if (wrong := wrong_key(column, types.get(column))) is not None:
                yield wrong
    if function.histories and (outcomes := tried.frame("outcomes", raw)) is not None:
        for value in dict.fromkeys(history.of for history in function.histories):
            if (wrong := wrong_outcome(value, outcomes.schema.get(value))) is not None:
                yield wrong
    if (targets := tried.frame("targets", raw)) is not None:
        for label in function.labels:
            if label not in targets.columns:
                yield f"targets() lacks the label {label!r}; add it or take it off the declaration"
    yield from tried.mistakes


def _names(function: FeatureFunction) -> Iterator[str]:
    """Columns of the built features that would have one name."""
    roles: dict[str, str] = {}
    # The time, and slices, may be columns that are there for another reason too: such are kept once.
    time = [name for name in (function.time,) if name and name not in function.key]
    slices = [name for name in function.slices if name not in (*function.key, *time, *feature_names(function))]
    named = [
        *((name, "a key") for name in function.key),
        *((name, "the time") for name in time),
        *((name, "a feature") for name in feature_names(function)),
        *((name, "a label") for name in function.labels),
        *((name, "a slice") for name in slices),
    ]
    for name, role in named:
        if roles.get(name) == role:
            yield f"{name!r} is {role} twice; take one of them off, or give it another name"
        elif name in roles:
            yield f"{name!r} is {roles[name]} and {role}; give one of them another name (of columns in rows())"
        roles.setdefault(name, role)


def _beyond_their_row(function: FeatureFunction, raw: "pl.DataFrame", rows: "pl.DataFrame") -> Iterator[str]:
    """Features that a row has in a batch and not alone: a service would give others than training saw."""
    import polars as pl

    names = [name for name in function.columns if name in rows.columns]
    inputs = raw.select(function.inputs).head(_ALONE)
    try:
        alone = pl.concat(
            [calls.rows(function, inputs[place : place + 1]).select(names) for place in range(inputs.height)]
        )
        batch = calls.rows(function, inputs).select(names)
    except Exception as error:
        yield f"rows() fails on a single row: {raised(error)}"
        return
    for name in names:
        if not batch[name].equals(alone[name], null_equal=True):
            yield f"feature {name!r} of a row depends on the rows beside it: in a service it would be another"


def _no_number(dtype: "pl.DataType") -> str:
    import polars as pl

    held = (pl.String, pl.Categorical, pl.Enum, pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object)
    return str(dtype) if isinstance(dtype, held) else ""


class _Tried:
    """Calls of a user's functions, with what went wrong in them."""

    def __init__(self, function: FeatureFunction, raw: "pl.DataFrame") -> None:
        self.function, self.height, self.mistakes = function, raw.height, list[str]()

    def frame(self, name: str, given: "pl.DataFrame") -> "pl.DataFrame | None":
        """What the function gives, ``None`` where it fails."""
        import polars as pl

        try:
            # A user's function may return anything.
            own = given.clone()
            found = cast("object", calls.call(getattr(self.function, name), name, own))
        except calls.UnknownColumn as error:
            self.mistakes.append(str(error))
            return None
        except Exception as error:
            self.mistakes.append(f"{name}() fails on rows as the schema allows them: {raised(error)}")
            return None
        if own.columns != given.columns or not own.equals(given):
            self.mistakes.append(f"{name}() changes the frame that it is given; make another one of it")
        if not isinstance(found, pl.DataFrame):
            self.mistakes.append(f"{name}() returned {type(found).__name__}, no polars DataFrame")
            return None
        if found.height != self.height:
            self.mistakes.append(
                f"{name}() returned {found.height} rows for {self.height}: it must keep every row, in order"
            )
        return found
