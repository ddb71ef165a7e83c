"""Why a request is refused, in one bounded line that repeats nothing of what was sent but the name of a field.

Imported inside the packaged service too, so it needs pydantic only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import strange

if TYPE_CHECKING:
    import polars as pl

#: Longest message that an answer carries, characters.
MAX_MESSAGE = 600
#: Begins what is said of a field that no request has.
UNKNOWN = "has a field that the request does not know: "
#: What is said of a value that is missing and may not be.
MISSING = (
    "no value, where every row has to have one; send it, or let the schema allow none (nullable=True) and train again"
)


class BadValue(PlatformError):
    """A value of a column that no request has; says which column and row, the first of them, and why."""

    def __init__(self, column: str, reason: str, wrong: "pl.Series | None" = None) -> None:
        """``wrong``: whether each row has such a value; without it no row is named."""
        self.column, self.reason = column, reason
        found = wrong.fill_null(False).arg_max() if wrong is not None and wrong.any() else None
        #: Counted from 0.
        self.row = found
        place = f"columns.{column}" if found is None else f"columns.{column}[{found}]"
        super().__init__(f"{place}: {reason}")

    def in_table(self) -> str:
        """The same of a table, whose rows are counted from 1, without the line of names."""
        row = "" if self.row is None else f", row {self.row + 1:,}"
        return f"column {self.column!r}{row}: {self.reason}"


def describe(error: ValidationError) -> tuple[int, str]:
    """HTTP status and one bounded line for a failed request; repeats of what was sent only the name of a field.

    400 when the body is not JSON at all, else 422.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return 400, f"body is not valid JSON: {first['msg'].removeprefix('Invalid JSON: ')}"[:MAX_MESSAGE]
    unknown = first["type"] == "extra_forbidden"
    place = first["loc"][:-1] if unknown else first["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or "body"
    if unknown:
        reason = UNKNOWN + strange(first["loc"][-1])
    elif _of_a_value(first["loc"]) and first["type"] != "missing" and first["input"] is None:
        reason = MISSING
    else:
        reason = first["msg"]
    return 422, f"{where}: {reason}"[:MAX_MESSAGE]


def _of_a_value(place: Sequence[int | str]) -> bool:
    """Whether a place is that of one value: ``rows``, row, column; or ``columns``, column, row."""
    return len(place) >= 3 and any(isinstance(part, int) for part in place)
