"""Of which types the columns of a text table are: numbers, dates and truths in text, and what means a missing value."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import COMMA_NUMBER, with_point
from ml_platform.sources.day_forms import fitting
from ml_platform.sources.number_texts import decimal_comma
from ml_platform.sources.stray_texts import told_cells, words

if TYPE_CHECKING:
    import polars as pl

#: Texts that stand for a missing value, where a column without them is one of numbers, dates or truths.
MISSING = ("NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "None", "none", "?", "-", "--", ".")
_ISO_DAY, _ISO_TIME = r"^\d{4}-\d{2}-\d{2}( 00:00:00|T00:00:00)?$", r"^\d{4}-\d{2}-\d{2}[T ]"
#: Rows by which the form of dates is looked for, before all are read by it.
_FEW = 2_000


@dataclass
class Detected:
    """What was found in a table of texts."""

    #: Its rows as they came, but for texts that mean a missing value.
    raw: "pl.DataFrame"
    #: As :func:`typed` reads each column.
    typed: "pl.DataFrame"
    missing: list[str] = field(default_factory=list)
    comma: bool = False
    #: Column to the form of its dates, where that is not ISO.
    formats: dict[str, str] = field(default_factory=dict)
    #: Columns of text whose dates may be read in two ways, with both forms.
    unclear: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: What was guessed, one sentence each.
    notes: list[str] = field(default_factory=list)

    def options(self) -> dict[str, Any]:
        """What was found as keys of a source of files; nothing of what is usual."""
        return {
            **({"missing": ["", *self.missing]} if self.missing else {}),
            **({"decimal": ","} if self.comma else {}),
            **({"formats": self.formats} if self.formats else {}),
        }


def detected(raw: "pl.DataFrame", separator: str) -> Detected:
    """The types of a table's columns, and how its numbers, dates and missing values are written."""
    import polars as pl

    notes: list[str] = []
    missing = _missing_texts(raw)
    if missing:
        notes.append(f"{', '.join(map(repr, missing))} in place of a value means that it is missing")
        text = [column for column in raw.columns if raw[column].dtype == pl.String]
        raw = _without(raw, missing, text)
    found = words({column: raw[column] for column in raw.columns if raw[column].dtype == pl.String})
    if found:
        by_column: dict[str, dict[str, list[int]]] = {}
        for text, cells in found.items():
            for column, row in cells:
                by_column.setdefault(column, {}).setdefault(text, []).append(row)
        notes += [
            f"{column!r} has numbers or days but for {told_cells(cells)}: taken for missing (missing: of the source)"
            for column, cells in by_column.items()
        ]
        missing += list(found)
        raw = _without(raw, list(found), [one for one in raw.columns if raw[one].dtype == pl.String])
    comma, told = decimal_comma(
        {column: raw[column] for column in raw.columns if raw[column].dtype == pl.String}, separator
    )
    notes += told
    if comma:
        notes.append("numbers have decimal commas: points in them are taken for thousands")
    made = Detected(raw, raw.clear(), missing, comma, notes=notes)
    columns: list[pl.Series] = []
    for column in raw.columns:
        values, form = typed(raw[column], comma)
        columns.append(values)
        if isinstance(form, tuple):
            made.unclear[column] = form
        elif form:
            made.formats[column] = form
    made.typed = pl.DataFrame(columns)
    return made


def _without(raw: "pl.DataFrame", missing: list[str], columns: list[str]) -> "pl.DataFrame":
    import polars as pl

    kept = (pl.when(~pl.col(column).is_in(missing)).then(pl.col(column)).alias(column) for column in columns)
    return raw.with_columns(kept)


def _missing_texts(raw: "pl.DataFrame") -> list[str]:
    """Texts that mean a missing value: without them a column is one of numbers, dates or truths."""
    import polars as pl

    found: set[str] = set()
    for column in raw.columns:
        values = raw[column]
        if values.dtype != pl.String:
            continue
        there = set(values.filter(values.is_in(MISSING)).unique().to_list())
        rest = values.filter(~values.is_in(MISSING)).drop_nulls()
        numbers = there and rest.len() and rest.str.contains(COMMA_NUMBER).all()
        if numbers or (there and rest.len() and typed(rest)[0].dtype != pl.String):
            found |= there
    return [text for text in MISSING if text in found]


def typed(values: "pl.Series", comma: bool = False) -> "tuple[pl.Series, str | tuple[str, str]]":
    """A column as what it is, and the form of its dates where that is not ISO; both forms where there are two.

    ``comma``: numbers have decimal commas.
    """
    import polars as pl

    kind = values.dtype
    if kind.is_integer():
        return values.cast(pl.Int64), ""
    if kind.is_float() or kind.is_decimal():
        return values.cast(pl.Float64), ""
    if isinstance(kind, pl.Datetime):
        return values.cast(pl.Datetime("us")), ""
    if isinstance(kind, pl.Boolean | pl.Date):
        return values, ""
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Time | pl.Null):
        return values.cast(pl.String), ""
    if kind != pl.String:
        raise PlatformError(f"column {values.name!r} is {kind}; leave it out, or make it a number, a text or a date")
    there = values.drop_nulls()
    if not there.len():
        return values, ""
    if comma and there.str.contains(COMMA_NUMBER).all() and not there.str.contains(r"^[+-]?0\d").any():
        pointed = with_point(values)
        whole = not there.str.contains(",", literal=True).any()
        fits = whole and int(there.str.len_chars().max() or 0) <= 18  # type: ignore[arg-type]
        return pointed.cast(pl.Int64 if fits else pl.Float64), ""
    if there.str.contains(r"^[+-]?\d{1,18}$").all() and not there.str.contains(r"^[+-]?0\d").any():
        return values.cast(pl.Int64), ""
    if there.str.contains(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$").all() and not there.str.contains(r"^0\d").any():
        return values.cast(pl.Float64), ""
    if set(there.str.to_lowercase().unique()) <= {"true", "false"}:
        return values.str.to_lowercase() == "true", ""
    return _dated(values, there)


def _dated(values: "pl.Series", there: "pl.Series") -> "tuple[pl.Series, str | tuple[str, str]]":
    import polars as pl

    if there.str.contains(_ISO_DAY).all():
        day = values.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        return (day, "") if day.null_count() == values.null_count() else (values, "")
    if there.str.contains(_ISO_TIME).all():
        try:
            return values.str.to_datetime(time_unit="us", strict=True).cast(pl.Datetime("us")), ""
        except pl.exceptions.PolarsError:
            return values, ""
    if not there.str.contains(r"\d{2}").all() or not there[:_FEW].str.contains(r"[/.\- ]").all():
        return values, ""
    found = [*fitting(values)]
    if not found:
        return values, ""
    if len(found) > 1 and not found[0][1].equals(found[1][1]):
        return values, (found[0][0], found[1][0])
    return found[0][1], found[0][0]
