"""What a column of a table is like: its kind, its gaps, its range, its values."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ml_platform.creating.personal import POSTAL, born, personal, postal, standing

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["int", "float", "bool", "text", "date", "timestamp"]

#: Most values of a text that get a feature each.
ONE_HOT = 12
#: From here on a column of identities, or of numbers in a row, would identify rows but for some.
NEARLY = 0.95
#: Words from which on a text may be prose, and share of the rows that have another one then.
WORDS, ANEW = 4, 0.1
#: Names that a class body or a frame needs for itself.
_TAKEN = {
    *("int", "float", "str", "bool", "pl", "Annotated", "Field", "DataFrameModel", "Config", "validate", "example"),
    *("to_schema", "strategy", "empty", "get_metadata", "to_json_schema", "pandas_dtype", "class", "def", "for", "in"),
    *("is", "if", "else", "from", "import", "as", "with", "and", "or", "not", "return", "pass", "while", "try", "None"),
    *("lambda", "global", "del", "yield", "async", "await", "raise", "True", "False", "elif", "except", "finally"),
    *("assert", "break", "continue", "nonlocal", "pydantic_validate", "build_schema_", "model_config"),
}
_IDENTITY = rf"(^|_)(id|ids|key|no|nr|number|code|{POSTAL}|uuid|guid|sku|ref)$"


@dataclass(frozen=True)
class Column:
    """One column as it was seen."""

    name: str
    #: The name as Python can write it, unique in the table.
    field: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    #: Of numbers and dates.
    low: Any = None
    high: Any = None
    #: Of texts and truths: the most frequent values with their numbers of rows, those first.
    values: tuple[tuple[Any, int], ...] = ()
    #: Mean length of a text, and mean number of its words.
    length: float = 0.0
    words: float = 0.0
    #: Why it is taken for personal; empty where it is not.
    personal: str = ""

    @property
    def missing(self) -> float:
        """Share of missing values."""
        return self.nulls / self.rows

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.nulls == 0 and self.distinct == self.rows

    @property
    def counting(self) -> bool:
        """Whether it only counts the rows; those that came twice have one number."""
        return self.kind == "int" and self.nulls == 0 and self.high - self.low + 1 == self.distinct > NEARLY * self.rows

    @property
    def constant(self) -> bool:
        """Whether there is at most one value."""
        return self.distinct <= 1 and (self.nulls == 0 or self.distinct == 0)

    @property
    def identity(self) -> bool:
        """Whether the name says that it names something rather than measures it."""
        return bool(re.search(_IDENTITY, self.field)) and self.kind in ("int", "text")

    @property
    def birth(self) -> bool:
        """Whether it is a date of birth by its name: never when a row was seen."""
        return self.kind in ("date", "timestamp") and born(self.field)

    @property
    def standing(self) -> bool:
        """Whether it says, by its name, since when something is and not when something happened."""
        return standing(self.field)

    @property
    def prose(self) -> bool:
        """Text of whole sentences, or of several words that are put together anew in many rows."""
        if self.kind != "text" or self.identity:
            return False
        return self.length > 60 or (self.words >= WORDS and self.distinct > max(ONE_HOT, ANEW * self.rows))


#: Where a word begins inside of another: ``fareAmount``, ``customerID``, ``GDPGrowth``; not in units such as kWh.
_WORD = r"(?<=[A-Za-z0-9])(?=[A-Z][a-z]{2})|(?<=[a-z0-9]{2})(?=[A-Z])"
#: Letters that are no other one with a sign.
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L"}
)


def look(frame: "pl.DataFrame") -> dict[str, Column]:
    """Every column of a typed frame, by name."""
    taken: set[str] = set()
    found = {name: _column(frame[name], _free(plain(name), taken)) for name in frame.columns}
    if person := next((one.name for one in found.values() if one.personal), ""):
        # Beside a person it is a part of where they live.
        for name, one in found.items():
            if postal(one.field) and one.kind in ("text", "int") and not one.personal:
                found[name] = replace(one, personal=f"its name, beside {person!r}")
    return found


def plain(name: str) -> str:
    """A name in small letters, digits and _ that Python can write: ``Fare Amount ($)`` is ``fare_amount``, and
    ``Energy (kWh) used`` is ``energy_kwh_used``."""
    import unicodedata

    spaced = re.sub(_WORD, "_", name)
    ascii_only = unicodedata.normalize("NFKD", spaced.translate(_LETTERS)).encode("ascii", "ignore").decode()
    found = re.sub(r"[^A-Za-z0-9]+", "_", ascii_only).strip("_").lower()[:55] or "column"
    return f"n_{found}" if found[0].isdigit() else found


def _free(name: str, taken: set[str]) -> str:
    start = f"{name}_" if name in _TAKEN else name
    found = next(
        one for number in range(1, 10_000) if (one := start if number == 1 else f"{start}_{number}") not in taken
    )
    taken.add(found)
    return found


def _column(values: "pl.Series", field: str) -> Column:
    import polars as pl

    there = values.drop_nulls()
    kinds: dict[Any, Kind] = {pl.Int64: "int", pl.Float64: "float", pl.Boolean: "bool", pl.Date: "date"}
    kind: Kind = "timestamp" if isinstance(values.dtype, pl.Datetime) else kinds.get(values.dtype.base_type(), "text")
    about: dict[str, Any] = {}
    if kind in ("int", "float", "date", "timestamp") and there.len():
        about = {"low": there.min(), "high": there.max()}
    if kind in ("text", "bool", "int") and there.len():
        counts = there.value_counts().sort(["count", values.name], descending=[True, False])[: 4 * ONE_HOT]
        about["values"] = tuple(counts.iter_rows())
    if kind == "text" and there.len():
        about["length"] = there.str.len_chars().mean()
        about["words"] = there.str.count_matches(r"\S+").mean()
    about["personal"] = personal(there, field, kind)
    return Column(values.name, field, kind, values.len(), values.null_count(), there.n_unique(), **about)
