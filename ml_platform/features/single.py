"""The features of one row without a frame of polars, for services: the same feature function, run on Python's values.

An expression of polars costs some 20 µs on one row, whatever it computes. So the function is given a stand-in for a
frame with one row, and its expressions are computed from their own description, where that is one of those below.
All else is left to :func:`~ml_platform.features.build.featurize`, and what is computed is held beside it first.
"""

import json
import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.features.build import bits, featurize, numbers_of_row
from ml_platform.features.contract import FeatureFunction
from ml_platform.features.history import History

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

logger = logging.getLogger(__name__)

#: One row: the value of each column.
Values = Mapping[str, Any]
#: Expressions that are kept; of a function that makes new ones for each row there would be ever more.
MAX_EXPRESSIONS = 1_000
#: Types of Python by those of polars whose values mean the same in both.
KINDS: dict[str, type] = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32"), int),
    **{"Float64": float, "String": str, "Boolean": bool, "Date": date},
}
#: Up to where whole numbers surely do not wrap round, by the part of a date that is among them; else that of a column.
SMALL = {"WeekDay": 2**7 - 1, "Month": 2**7 - 1, "Day": 2**7 - 1, "Year": 2**31 - 1}
EXACT = 2**53
_COMPARED = {
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtEq": operator.le, "Gt": operator.gt,
    "GtEq": operator.ge,
}  # fmt: skip
_COMPUTED = {
    "Plus": operator.add, "Minus": operator.sub, "Multiply": operator.mul, "FloorDivide": operator.floordiv,
    "Modulus": operator.mod, "TrueDivide": operator.truediv,
}  # fmt: skip
_OF_DATES: dict[str, Callable[[date], int]] = {
    "WeekDay": date.isoweekday, "Year": operator.attrgetter("year"), "Month": operator.attrgetter("month"),
    "Day": operator.attrgetter("day"),
}  # fmt: skip


class Undecided(Exception):
    """What only polars knows."""


class Computed(NamedTuple):
    """What an expression gives for one row; None where it is missing. Raises Undecided where only polars knows."""

    value: Callable[[Values], Any]
    kind: type
    #: Up to where whole numbers surely do not wrap round.
    limit: int = EXACT


def computed(expression: "pl.Expr", types: Mapping[str, str]) -> Computed:
    """What an expression gives for one row of columns of these types, to the last bit. Raises Undecided."""
    return _node(json.loads(expression.meta.serialize(format="json")), types)


def _node(node: Any, types: Mapping[str, str]) -> Computed:
    match node:
        case {"Alias": [inner, str()]}:
            return _node(inner, types)
        case {"Column": str(name)} if types.get(name) in ("Int64", "Float64", "String", "Boolean", "Date"):
            return Computed(operator.itemgetter(name), KINDS[types[name]])
        case (
            {"Literal": {"Dyn": {"Int": value}}}
            | {"Literal": {"Dyn": {"Float": value}}}
            | {"Literal": {"Scalar": {"String": value}}}
            | {"Literal": {"Scalar": {"Boolean": value}}}
        ) if type(value) is not int or abs(value) <= SMALL["Year"]:
            return Computed(lambda _: value, type(value))
        case {"BinaryExpr": {"left": left, "op": str(name), "right": right}}:
            sides = _node(left, types), _node(right, types)
            return _compared(name, *sides) if name in _COMPARED else _combined(name, *sides)
        case {"Ternary": {"predicate": predicate, "truthy": truthy, "falsy": falsy}}:
            return _chosen(*(_node(part, types) for part in (predicate, truthy, falsy)))
        case {"Function": {"input": [inner], "function": {"TemporalExpr": str(name)}}} if name in _OF_DATES:
            return _of_date(name, _node(inner, types))
        case _:
            raise Undecided(f"an expression of the kind {node}")


def _compared(name: str, left: Computed, right: Computed) -> Computed:
    compare, a, b = _COMPARED[name], left.value, right.value
    # Of several types polars takes a common one first.
    if left.kind is not right.kind or left.kind is date or left.limit != right.limit:
        raise Undecided("a comparison of two types")

    def value(row: Values) -> Any:
        x, y = a(row), b(row)
        return None if x is None or y is None else compare(x, y)

    return Computed(value, bool)


def _combined(name: str, left: Computed, right: Computed) -> Computed:
    if name not in _COMPUTED or not {left.kind, right.kind} <= {int, float}:
        raise Undecided(f"the operator {name}")
    combine, a, b, limit = _COMPUTED[name], left.value, right.value, min(left.limit, right.limit)
    divides = name in ("FloorDivide", "Modulus", "TrueDivide")
    whole = left.kind is right.kind is int and name != "TrueDivide"
    # Polars has other types and ways for these.
    if (not whole and name in ("FloorDivide", "Modulus")) or (name == "TrueDivide" and limit != EXACT):
        raise Undecided(f"the operator {name} of such types")

    def value(row: Values) -> Any:
        x, y = a(row), b(row)
        if x is None or y is None:
            return None
        if (type(x) is int and abs(x) > limit) or (type(y) is int and abs(y) > limit) or (divides and y == 0):
            raise Undecided("a large number, or a division by nothing")
        result = combine(x, y) if whole else combine(float(x), float(y))
        if abs(result) > limit if whole else result - result != 0:
            raise Undecided("a large number")
        return result

    return Computed(value, int if whole else float, limit if whole else EXACT)


def _chosen(predicate: Computed, truthy: Computed, falsy: Computed) -> Computed:
    if predicate.kind is not bool or truthy.kind is not falsy.kind:
        raise Undecided("a choice of two types")
    decided, a, b = predicate.value, truthy.value, falsy.value
    # What is unknown is not true.
    return Computed(lambda row: a(row) if decided(row) else b(row), truthy.kind, min(truthy.limit, falsy.limit))


def _of_date(name: str, given: Computed) -> Computed:
    if given.kind is not date:
        raise Undecided("a part of what is no date")
    part, inner = _OF_DATES[name], given.value

    def value(row: Values) -> Any:
        day = inner(row)
        return None if day is None else part(day)

    return Computed(value, int, SMALL[name])


class _Column:
    """A column of one value, for code of Python that reads it."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self._value = name, value

    def to_list(self) -> list[Any]:
        return [self._value]

    def item(self) -> Any:
        return self._value

    def __len__(self) -> int:
        return 1


class _Row:
    """A frame of one row, as far as feature functions usually need one; what it lacks is left to polars."""

    height = 1

    def __init__(self, values: dict[str, Any], expressions: "Expressions") -> None:
        self._values, self._expressions = values, expressions

    @property
    def columns(self) -> list[str]:
        return list(self._values)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, name: Any) -> _Column:
        if not isinstance(name, str):
            raise Undecided("more than a column")
        return _Column(name, self._values[name])

    def clone(self) -> "_Row":
        return _Row(dict(self._values), self._expressions)

    def with_columns(self, *given: Any, **named: Any) -> "_Row":
        # All see the row as it was.
        made = [self._expressions.value(one, self._values) for one in _flat(given)]
        made += [(name, self._expressions.value(one, self._values)[1]) for name, one in named.items()]
        if any(name in self._expressions.types for name, _ in made):
            raise Undecided("a column of the request takes another meaning, and perhaps another type")
        return _Row({**self._values, **dict(made)}, self._expressions)

    def select(self, *given: Any, **named: Any) -> "_Row":
        kept = self.with_columns(*(one for one in _flat(given) if not isinstance(one, str)), **named)._values
        names = [one if isinstance(one, str) else self._expressions.name(one) for one in _flat(given)]
        return _Row({name: kept[name] for name in (*names, *named)}, self._expressions)


def _flat(given: Iterable[Any]) -> Iterable[Any]:
    for one in given:
        if isinstance(one, list | tuple):
            yield from one
        else:
            yield one


class Expressions:
    """The expressions of a feature function, each looked at once."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self.types = types
        # The expression is kept as well, so that no other one gets its id.
        self.known: dict[int, tuple[Any, str, Computed]] = {}

    def _of(self, expression: "pl.Expr") -> tuple[Any, str, Computed]:
        if (found := self.known.get(id(expression))) is None:
            if len(self.known) >= MAX_EXPRESSIONS:
                raise Undecided("new expressions for each row")
            found = expression, expression.meta.output_name(), computed(expression, self.types)
            self.known[id(expression)] = found
        return found

    def name(self, given: Any) -> str:
        import polars as pl

        return self._of(given)[1] if isinstance(given, pl.Expr) else given.name

    def value(self, given: Any, values: Values) -> tuple[str, Any]:
        """Name and value of an expression, or of a column that Python has made."""
        import polars as pl

        if isinstance(given, pl.Expr):
            _, name, compute = self._of(given)
            return name, compute.value(values)
        if isinstance(given, pl.Series) and len(given) == 1:
            return given.name, given.item()
        if isinstance(given, _Column):
            return given.name, given.item()
        raise Undecided("neither an expression nor a column")


class Single:
    """A feature function for one row; :meth:`matrix` says None where :func:`featurize` has to be asked."""

    def __init__(self, function: FeatureFunction, types: Mapping[str, str], results: Mapping[str, str]) -> None:
        self.function, self.expressions = function, Expressions(types)
        needed = {*function.columns, *(name for history in function.histories for name in history.by)}
        self._given = [KINDS[name] for name in types.values()]
        self._kinds = [(name, KINDS[results[name]]) for name in needed]

    def matrix(self, values: Values, history: History) -> "np.ndarray | None":
        """:func:`featurize` of one row with the function's ``inputs`` in order, bit for bit: (1, features)."""
        try:
            for kind, value in zip(self._given, values.values(), strict=True):
                if value is not None and type(value) is not kind:
                    return None
            rows: Any = self.function.rows(_Row(dict(values), self.expressions))  # type: ignore[arg-type]
            found: dict[str, Any] = rows._values
            for name, kind in self._kinds:
                # As polars would have it: the text of a key depends on it.
                if (value := found[name]) is not None and type(value) is not kind:
                    return None
            return numbers_of_row(self.function, found, values.get(self.function.time), history)
        except Exception:
            # The function may need more than this knows of, or refuse the row: polars' path says which.
            return None


def single(
    function: FeatureFunction,
    types: Mapping[str, str],
    history: History,
    rows: "Sequence[Values]",
    frame: "pl.DataFrame",
) -> Single | None:
    """A feature function for one row at a time, where it gives for ``rows`` what :func:`featurize` gives; else None.

    ``types`` are polars' names of the columns of a request, ``frame`` has the same rows.
    """
    import numpy as np

    try:
        expected = featurize(function, frame, history)
        results = {name: str(dtype) for name, dtype in function.rows(frame.clone()).schema.items()}
        if not set(types.values()) <= set(KINDS) or tuple(types) != tuple(function.inputs):
            return None
        made = Single(function, types, results)
        found = [made.matrix(row, history) for row in rows]
        known = len(made.expressions.known)
        if found[0] is None or made.matrix(rows[0], history) is None or len(made.expressions.known) > known:
            return None
    except Exception:
        # A row of these may be one that the function refuses.
        return None
    for row, one in enumerate(found):
        if one is not None and not np.array_equal(bits(one[0]), bits(expected[row])):
            logger.warning("one row at a time gives other features than polars, and is left to that")
            return None
    return made
