"""``schema.py``: what a row must be like, with what was seen beside each range."""

import math
from datetime import datetime
from typing import Any

from ml_platform.creating.columns import Column
from ml_platform.creating.plan import Plan, quoted

_TYPES = {
    "int": "int", "float": "float", "bool": "bool", "text": "str", "date": "pl.Date", "timestamp": "Timestamp",
}  # fmt: skip


def class_name(name: str) -> str:
    """``taxi_trips`` is ``TaxiTrips``."""
    return "".join(part.capitalize() for part in name.split("_"))


def schema_text(plan: Plan) -> str:
    """The text of ``schema.py``."""
    columns = plan.roles.columns.values()
    lines = [_line(column, plan) for column in columns]
    kinds = {column.kind for column in columns}
    imports = ["from typing import Annotated", ""] if "timestamp" in kinds else []
    if kinds & {"date", "timestamp"}:
        imports.append("import polars as pl")
    stamp = ["", 'Timestamp = Annotated[pl.Datetime, "us", None]'] if "timestamp" in kinds else []
    return "\n".join(
        [
            f'"""What a row of {plan.name} must be like. Behind each column: what was seen."""',
            "",
            *imports,
            "from pandera.polars import DataFrameModel, Field",
            *stamp,
            "",
            "",
            f"class {class_name(plan.name)}(DataFrameModel):",
            '    """One row, as the source delivers it."""',
            "",
            *(f"    {line}" for line in lines),
            "",
            "    class Config:",
            '        """Columns that are not declared are refused."""',
            "",
            "        strict = True",
            "",
        ]
    )


def _line(column: Column, plan: Plan) -> str:
    roles, options = plan.roles, []
    outcome = column.name in (roles.target, *roles.later)
    if column.field != column.name:
        options.append(f"alias={quoted(column.name)}")
    if column.nulls or outcome:
        options.append("nullable=True")
    if column.name == roles.target:
        options += _classes(plan)
        seen = _seen(column)
    else:
        options += _range(column)
        seen = _seen(column)
    marks = [f'"{mark}": True' for mark, there in (("outcome", outcome), ("pii", column.personal)) if there]
    if marks:
        options.append(f"metadata={{{', '.join(marks)}}}")
    value = f" = Field({', '.join(options)})" if options else ""
    return f"{column.field}: {_TYPES[column.kind]}{value}{f'  # {seen}' if seen else ''}"


def _classes(plan: Plan) -> list[str]:
    """Of a target: its classes, or its range."""
    target, task = plan.roles.columns[plan.roles.target], plan.roles.task
    if task == "regression":
        return _range(target)
    if target.kind == "bool":
        return []
    values = sorted(value for value, _ in target.values)
    return [
        f"isin={[*values]!r}"
        if target.kind == "int"
        else "isin=[0.0, 1.0]"
        if target.kind == "float"
        else f"isin=[{', '.join(map(quoted, values))}]"
    ]


def _range(column: Column) -> list[str]:
    """Bounds that the next honest batch keeps: ten times what was seen, or as far again on each side."""
    if column.kind not in ("int", "float") or column.low is None or column.identity or column.personal:
        return []
    low, high = bounds(float(column.low), float(column.high), column.field)
    return [f"ge={_number(low)}", f"le={_number(high)}"]


def bounds(low: float, high: float, name: str = "") -> tuple[float, float]:
    """A round lower and upper bound around what was seen; what is never negative stays so."""
    if "year" in name and 1800 <= low <= high <= 2100:
        return 1800, 2200
    top = _round_up(10 * max(abs(low), abs(high), 0.1))
    return (0.0 if low >= 0 else -top), (0.0 if high <= 0 and low < 0 else top)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{step * power:.6g}") for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:g}"


def _seen(column: Column) -> str:
    if not column.distinct or column.nulls == column.rows:
        return "no value yet"
    parts = []
    # The first and the last of people are values of two of them.
    if column.personal and column.low is not None:
        parts.append(f"{column.distinct} values")
    elif column.low is not None:
        parts.append(f"{_shown(column.low)} to {_shown(column.high)}")
    elif column.kind in ("text", "bool") and not column.personal and column.distinct <= 6:
        parts.append(", ".join(str(value) for value, _ in column.values))
    elif column.kind == "text":
        parts.append(f"{column.distinct} values")
    if column.nulls:
        parts.append(f"{column.missing:.1%} missing")
    return "; ".join(parts)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    return f"{value:.6g}" if isinstance(value, float) else str(value)
