"""pandera schemas: what they declare, and the evidence of validating a table against one."""

import copy
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.validation.evidence import BrokenRule, ColumnInfo, SchemaEvidence, json_rows

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaError

MASK = "***"
#: Failures after which a check on the table as a whole has no meaning row by row.
_TABLE_LEVEL = {
    "COLUMN_NOT_IN_DATAFRAME": "column is missing",
    "COLUMN_NOT_IN_SCHEMA": "column is not in the schema",
    "COLUMN_NOT_ORDERED": "columns are out of order",
    "INVALID_COLUMN_NAME": "no column has that name",
    "WRONG_DATATYPE": "column has the wrong type",
    "DATATYPE_COERCION": "column cannot be converted",
    "CHECK_ERROR": "check crashed",
}
_OUTPUT = "check_output"


def columns(schema: "type[pa.DataFrameModel]") -> list[ColumnInfo]:
    """The columns of a schema in order, with what its ``pa.Field(metadata=…)`` says of them.

    Metadata that is known: ``outcome`` and ``pii`` (booleans, false if absent) and ``description``.
    """
    found = []
    for name, column in schema.to_schema().columns.items():
        metadata: Any = column.metadata or {}
        if not isinstance(metadata, dict):
            raise DeclarationError(
                f"schema {schema.__name__}: the metadata of column {name!r} is {metadata!r}; write a mapping, such as "
                '{"pii": True}'
            )
        unknown = set(metadata) - {"outcome", "pii", "description"}
        if unknown:
            raise DeclarationError(
                f"schema {schema.__name__}: column {name!r} has unknown metadata {sorted(unknown)}; "
                "known are outcome, pii and description"
            )
        found.append(
            ColumnInfo(
                name=str(name),
                dtype=str(column.dtype),
                nullable=bool(column.nullable),
                outcome=bool(metadata.get("outcome", False)),
                pii=bool(metadata.get("pii", False)),
                description=str(metadata.get("description") or column.description or ""),
            )
        )
    return found


def key(schema: "type[pa.DataFrameModel]") -> tuple[str, ...]:
    """The natural key, from the schema's ``Config.metadata = {"key": [...]}``. Raises PlatformError without one."""
    declared = _declared_key(schema)
    lacking = [name for name in declared if name not in schema.to_schema().columns]
    if not declared or lacking:
        reason = f"its key names unknown columns {lacking}" if lacking else "it has no key"
        raise PlatformError(f'schema {schema.__name__}: {reason}; set metadata = {{"key": [...]}} in its Config')
    return declared


def _declared_key(schema: "type[pa.DataFrameModel]") -> tuple[str, ...]:
    # pandera's own get_metadata fails on a Config without metadata.
    return tuple((getattr(schema.Config, "metadata", None) or {}).get("key", ()))


def mask(frame: "pl.DataFrame", schema: "type[pa.DataFrameModel]") -> "pl.DataFrame":
    """``frame`` with the values of pii columns replaced by ``***``; null stays null.

    Columns that the schema does not know are replaced too: nobody has said that they may be shown.
    """
    import polars as pl

    open_to_all = {info.name for info in columns(schema) if not info.pii}
    private = [name for name in frame.columns if name not in open_to_all]
    return frame.with_columns(pl.when(pl.col(name).is_not_null()).then(pl.lit(MASK)).alias(name) for name in private)


def validate(
    schema: "type[pa.DataFrameModel]",
    frame: "pl.DataFrame",
    *,
    samples: int = 20,
    max_cases: int = 100,
    new_columns: Literal["accept", "refuse"] | None = None,
) -> SchemaEvidence:
    """Apply every rule of ``schema`` to ``frame`` and report each that is broken, with exact counts.

    Rules are those of pandera plus ``finite`` on each float column: NaN and infinities pass ``ge`` in polars, so both
    count as invalid here, nullable or not. ``max_cases`` caps what pandera collects per check (its report of a
    million failures costs more than the check); counts do not depend on it. Sample rows hold the key and the broken
    column, or the whole row for a rule across columns. Nothing is dropped or changed. ``new_columns`` says whether a
    column that the schema does not know breaks it (default: as the schema's ``strict`` says). Raises
    :class:`PlatformError` for a lazy frame, on which pandera would silently skip the checks of the data.
    """
    judged, rules = _judged(schema, frame, samples, max_cases, new_columns)
    return SchemaEvidence(
        schema=schema.__name__, rows=frame.height, rules=rules, broken=tuple(rule for rule, _ in judged)
    )


def invalid_rows(
    schema: "type[pa.DataFrameModel]", frame: "pl.DataFrame", *, new_columns: Literal["accept", "refuse"] | None = None
) -> "dict[str, pl.Series] | None":
    """Rule to the rows that break it (boolean, as high as ``frame``), for every broken rule.

    ``None`` where the table as a whole is broken: a column missing, unknown or of the wrong type. No row of such
    a table is known to be good.
    """
    judged, _ = _judged(schema, frame, 0, 1, new_columns)
    found: dict[str, pl.Series] = {}
    for rule, rows in judged:
        if rows is None:
            return None
        name = f"{rule.column}: {rule.name}" if rule.column else rule.name
        found[name] = found[name] | rows if name in found else rows
    return found


def _judged(
    schema: "type[pa.DataFrameModel]",
    frame: "pl.DataFrame | pl.LazyFrame",
    samples: int,
    max_cases: int,
    new_columns: Literal["accept", "refuse"] | None,
) -> "tuple[list[tuple[BrokenRule, pl.Series | None]], int]":
    """Broken rules with the rows that break them (``None``: the whole table), and how many rules were applied."""
    import pandera.polars as pa
    import polars as pl

    if not isinstance(frame, pl.DataFrame):
        raise PlatformError(f"validation needs a polars DataFrame, not {type(frame).__name__}; collect it first")
    declared = _capped(schema, max_cases, new_columns)
    columns_declared = declared.columns.values()
    checks = _checks(declared)
    identity = [name for name in _declared_key(schema) if name in frame.columns]

    def sample(invalid: "pl.Series", column: str | None) -> tuple[dict[str, Any], ...]:
        rows = frame.filter(invalid).head(samples)
        if column is not None:
            rows = rows.select(list(dict.fromkeys([*identity, column])))
        return tuple(json_rows(mask(rows, schema)))

    errors: list[SchemaError] = []
    try:
        declared.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as failure:
        errors = failure.schema_errors
    mistyped = {
        _column_of(error) for error in errors if error.reason_code and error.reason_code.name == "WRONG_DATATYPE"
    }
    # A check of numbers crashes on texts: that is said once, by the type.
    follows = [
        error.reason_code is not None and error.reason_code.name == "CHECK_ERROR" and _column_of(error) in mistyped
        for error in errors
    ]
    broken = [_broken(error, frame, sample) for error, after in zip(errors, follows, strict=True) if not after]
    types = frame.schema
    floats = [name for name in declared.columns if isinstance(types.get(name), pl.Float32 | pl.Float64)]
    counts = frame.select((~pl.col(floats).is_finite()).sum()).row(0) if floats else ()
    for name, count in zip(floats, counts, strict=True):
        if count:
            broken.append(
                (
                    BrokenRule(
                        name="finite",
                        kind="schema",
                        column=name,
                        count=count,
                        rate=count / frame.height,
                        fatal=False,
                        message=f"{count} values are NaN or infinite",
                        sample=sample(~frame[name].is_finite(), name),
                    ),
                    (~frame[name].is_finite()).fill_null(False),
                )
            )
    presence_type_and_null = sum(2 + (not column.nullable) for column in columns_declared)
    return broken, presence_type_and_null + len(checks) + len(floats)


@lru_cache(maxsize=16)
def _capped(
    schema: "type[pa.DataFrameModel]", max_cases: int, new_columns: Literal["accept", "refuse"] | None
) -> "pa.DataFrameSchema":
    """The schema as this module applies it. A copy: pandera hands out one cached schema, and the cap is ours."""
    declared = copy.deepcopy(schema.to_schema())
    if new_columns is not None:
        declared.strict = new_columns == "refuse"
    for check in _checks(declared):
        check.n_failure_cases = max_cases
    return declared


def _checks(schema: "pa.DataFrameSchema") -> list[Any]:
    """The checks of the table, then those of each column."""
    return [*(schema.checks or []), *(check for column in schema.columns.values() for check in column.checks or [])]


def _reason(error: "SchemaError") -> str:
    return error.reason_code.name if error.reason_code else "UNKNOWN"


def _column_of(error: "SchemaError") -> str | None:
    """The column that a failure is of; None of the table's."""
    from pandera.api.polars.components import Column

    return error.schema.name if isinstance(error.schema, Column) else None


def _broken(error: "SchemaError", frame: "pl.DataFrame", sample: Any) -> "tuple[BrokenRule, pl.Series | None]":
    """One failure of pandera as evidence. Its own message is not used: it shows data, pii included."""
    import polars as pl

    reason = _reason(error)
    check = error.check
    name = check if isinstance(check, str) else (getattr(check, "name", None) or str(check))
    column = _column_of(error)
    if reason in ("COLUMN_NOT_IN_DATAFRAME", "COLUMN_NOT_IN_SCHEMA", "INVALID_COLUMN_NAME"):
        column = str(error.failure_cases)
    kind = "schema" if column is not None or isinstance(check, str) else "rule"
    output = error.check_output
    if reason in _TABLE_LEVEL or not isinstance(output, pl.DataFrame) or output.height != frame.height:
        message = _TABLE_LEVEL.get(reason, "does not hold for the table")
        if reason == "WRONG_DATATYPE" and column in frame.columns:
            wanted = error.schema.dtype  # type: ignore[union-attr]
            message += (
                f": {frame.schema[column]}, and {wanted} in the schema; correct the file, or say in the source how its "
                "numbers and dates stand (decimal, formats)"
            )
        if reason == "CHECK_ERROR":
            # Its own text is that of polars, with its plans and with data.
            raised = str(error.failure_cases)
            lacking = re.search(r'column \\?"([^"\\]+)\\?"', raised)
            told = f"there is no column {lacking[1]!r}" if lacking else re.split(r"[(:]", raised)[0].strip()[:60]
            message += f" ({told}); correct the check"
        return BrokenRule(
            name=name, kind=kind, column=column, count=frame.height, rate=1.0, fatal=True, message=message
        ), None
    invalid = ~output.get_column(_OUTPUT).fill_null(True)
    count = int(invalid.sum())
    expected = getattr(check, "error", None) or name
    return BrokenRule(
        name=name, kind=kind, column=column, count=count, rate=count / frame.height, fatal=False,
        message=f"{count} of {frame.height} rows break {str(expected)[:200]}", sample=sample(invalid, column),
    ), invalid  # fmt: skip
