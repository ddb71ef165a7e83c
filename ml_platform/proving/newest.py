"""The newest batch, in which errors are made: what it holds, what came before it, and which slices it has."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from ml_platform.declarations.context import ModelContext
from ml_platform.proving.doses import Hits, Slice
from ml_platform.proving.outcomes import Outcomes

if TYPE_CHECKING:
    import polars as pl

#: A slice needs so many rows to be looked at, and a column of slices at most so many values.
SLICE_ROWS, SLICE_VALUES = 100, 200


class Error(StrEnum):
    """Every kind of error, also those that need something which not every dataset has."""

    LOST = "rows are lost"
    MISSING_DAYS = "the last days are missing"
    TWICE = "rows come twice"
    NEW_KEYS = "the last days come twice under new keys"
    AGAIN = "rows of a slice come again under new keys"
    MIXED_IN = "rows of the batch before are mixed in"
    UNKNOWN = "outcomes of the last days are not known"
    NO_OUTCOME = "outcomes are missing"
    ALL_ZERO = "labels of the last days are all 0"
    TURNED = "labels are turned round"
    CORRECTED = "a correction turns labels round"
    LARGEST_MISSING = "the largest outcomes are missing"
    LARGEST_CUT = "the largest outcomes are cut"
    OTHER_DAY = "outcomes of so many days before"
    OUTCOMES_SHIFTED = "outcomes are shifted"
    OTHER_OUTCOMES = "outcomes belong to other rows"
    LATE = "observations are late"
    SHIFTED = "values are shifted"
    UNIT = "values are in another unit (x 1.609)"
    MISSING = "values are missing"
    STUCK = "values of the last days are stuck"
    ELSEWHERE = "values belong to other rows"
    SPELLING = "texts in another spelling"


@dataclass(eq=False)
class Batch:
    """The batch that errors are made in, with what came before it."""

    context: ModelContext
    frame: "pl.DataFrame"
    #: Earlier batches in order, at least one.
    earlier: "list[pl.DataFrame]"
    seed: int

    def __post_init__(self) -> None:
        self.hits = Hits(self.frame, self.context.dataset.time, self.seed)
        self.outcomes = Outcomes(self.context, self.frame, self.earlier)

    @property
    def columns(self) -> list[str]:
        """Inputs of the features, without those that say which row it is and when."""
        identity = {*self.context.dataset.key, self.context.dataset.time}
        return [name for name in self.context.function.inputs if name in self.frame.columns and name not in identity]

    @property
    def numeric(self) -> list[str]:
        """Those that are numbers."""
        return [name for name in self.columns if self.frame.schema[name].is_numeric()]

    @cache  # noqa: B019 - lives as long as the batch
    def deviation(self, column: str) -> float:
        """Standard deviation of a column in the earlier batches."""
        import polars as pl

        values = pl.concat([frame[column].cast(pl.Float64) for frame in self.earlier]).fill_nan(None)
        found = values.std()
        return float(found) if isinstance(found, float) else 0.0

    def slices(self) -> list[Slice]:
        """Of each column of slices the largest, a middle and the smallest slice that has enough rows."""
        import polars as pl

        function, private = self.context.function, self.context.dataset.private()
        texts = [name for name in function.inputs if self.frame.schema.get(name) == pl.String]
        names = [name for name in function.slices if name in self.frame.columns] or texts
        found = []
        for name in names:
            counts = self.frame[name].drop_nulls().cast(pl.String).alias("value").value_counts().sort("count", "value")
            if name in private or not 2 <= counts.height <= SLICE_VALUES:
                continue
            values = counts.filter(pl.col("count") >= SLICE_ROWS)["value"].to_list()
            found += [
                Slice(name, value)
                for value in dict.fromkeys((*values[-1:], *values[len(values) // 2 :][:1], *values[:1]))
            ]
        return found
