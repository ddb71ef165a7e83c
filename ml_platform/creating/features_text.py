"""``features.py``: what is known of a row when a prediction is asked for."""

from collections.abc import Iterable

from ml_platform.creating.plan import Categories, Plan, literal, quoted
from ml_platform.creating.schema_text import class_name

_WIDTH = 118


def features_text(plan: Plan, package: str) -> str:
    """The text of ``features.py``, which is part of ``package``."""
    roles = plan.roles
    made = [
        f"HistoricalMean({quoted(past.name)}, of={quoted(past.of)}, by=({quoted(past.by)},), prior=20)"
        for past in plan.pasts
    ]
    # Imports of one's own project stand apart from those of packages.
    apart = [""] if package.startswith("ml_platform.") else []
    taken = [*(["HistoricalMean"] if made else []), *(["one_hot"] if plan.categories else [])]
    contract = [*apart, f"from ml_platform.features.contract import {', '.join(taken)}"] if taken else []
    lines = [
        f'"""Features of {plan.name}: the same code for training and for serving."""',
        "",
        "import polars as pl",
        *contract,
        "",
        "#: Feature to what it is made of. A missing value stays missing.",
        "FEATURES = {",
        *(f"    {quoted(one.name)}: {one.expression}," for one in plan.features),
        *(line for one in plan.categories for line in _one_hot(one)),
        "}",
        "",
        "",
        f"class {class_name(plan.name)}Features:",
        '    """What is known of a row before the prediction; see ml_platform.features.contract.FeatureFunction."""',
        "",
        *_tuple("inputs", plan.inputs),
        f"    time = {quoted(roles.time)}",
        f"    key = {_inline(roles.key)}",
        "    columns = tuple(FEATURES)",
    ]
    lines += _histories(made)
    lines += [
        f"    labels = ({quoted(plan.label)},)",
        f"    slices = {_inline(_slices(plan))}",
        "",
        "    def rows(self, raw: pl.DataFrame) -> pl.DataFrame:",
        '        """Every column of ``raw``, and the features."""',
        "        return raw.with_columns(**FEATURES)",
        "",
        "    def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:",
        '        """What the past means average; missing where it is not known yet."""',
        *(_outcomes(plan) if plan.outcomes else ["        return raw.select()"]),
        "",
        "    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:",
        '        """What models predict; missing where it is not known."""',
        f"        return raw.select({plan.label}={_target(plan)})",
        "",
        "",
        f"features = {class_name(plan.name)}Features()",
        "",
    ]
    return "\n".join(lines)


def _one_hot(categories: Categories) -> list[str]:
    """Line after line as ruff would break it."""
    column, values = quoted(categories.column), ", ".join(categories.values)
    if len(whole := f"    **one_hot({column}, [{values}]),") <= _WIDTH + 2:
        return [whole]
    if len(inside := f"        {column}, [{values}]") <= _WIDTH + 2:
        return ["    **one_hot(", inside, "    ),"]
    listed = [f"        [{values}],"]
    if len(listed[0]) > _WIDTH + 2:
        listed = ["        [", *(f"            {value}," for value in categories.values), "        ],"]
    return ["    **one_hot(", f"        {column},", *listed, "    ),"]


def _histories(made: list[str]) -> list[str]:
    if not made:
        return ["    histories = ()"]
    about = "    # Values without a past, new ones too, get the mean over all."
    if len(made) == 1 and len(made[0]) + 22 <= _WIDTH + 2:
        return [about, f"    histories = ({made[0]},)"]
    return [about, "    histories = (", *(f"        {one}," for one in made), "    )"]


def _slices(plan: Plan) -> tuple[str, ...]:
    """Columns that are kept beside the features: those of slices, and what keeps rows together."""
    return tuple(dict.fromkeys((*plan.slices, *(name for name in plan.roles.group if name not in plan.roles.key))))


def _target(plan: Plan) -> str:
    roles = plan.roles
    column = roles.columns[roles.target]
    value = f"pl.col({quoted(roles.target)})"
    if roles.task == "binary":
        told = f"({value} == {literal(column, roles.positive)})" if roles.positive is not None else value
        return f"{told}.cast(pl.Int8)"
    if roles.task == "multiclass":
        return value if column.kind == "text" else f"{value}.cast(pl.String)"
    return f"{value}.cast(pl.Float32)"


def _outcomes(plan: Plan) -> list[str]:
    return [
        "        return raw.select(",
        *(f"            {name}={made}," for name, made in plan.outcomes.items()),
        "        )",
    ]


def _inline(names: Iterable[str]) -> str:
    parts = [quoted(name) for name in names]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _tuple(name: str, values: tuple[str, ...]) -> list[str]:
    """An attribute on one line, or on as many as it takes."""
    line = f"    {name} = {_inline(values)}"
    if len(line) <= _WIDTH:
        return [line]
    lines, current = [], ""
    for value in map(quoted, values):
        if current and len(current) + len(value) + 12 > _WIDTH:
            lines.append(f"        {current}")
            current = ""
        current = f"{current} {value},".strip()
    return [f"    {name} = (", *lines, f"        {current}", "    )"]
