"""Which columns a feature really depends on, found by changing one column after the other."""

from typing import TYPE_CHECKING

from ml_platform.features import calls
from ml_platform.features.contract import FeatureFunction, feature_names

if TYPE_CHECKING:
    import polars as pl


def observed_lineage(function: FeatureFunction, raw: "pl.DataFrame", lag_days: int) -> dict[str, set[str]]:
    """Feature to the raw columns that changed it on the given rows.

    Each column is turned upside down in turn; a feature whose values differ then depends on it. What no
    row of the sample shows is not found, so that the result is a lower bound: take rows of many days. Features from
    history depend on the day, on the columns of their key and on those of their outcome.
    """
    from ml_platform.features.build import build
    from ml_platform.features.history import History, daily

    names = feature_names(function)
    history = History.from_tables(function, [daily(function, raw)], lag_days)
    base = build(function, raw, history).select(names)
    found: dict[str, set[str]] = {name: set() for name in names}
    outcomes = calls.outcomes(function, raw)
    for column in raw.columns:
        values = raw[column]
        if values.n_unique() < 2:
            continue
        changed = raw.with_columns(values.reverse())
        if column in function.inputs:
            now = build(function, changed, history).select(names)
            for name in names:
                if not base[name].equals(now[name], null_equal=True):
                    found[name].add(column)
        else:
            after = calls.outcomes(function, changed)
            for past in function.histories:
                if not outcomes[past.of].equals(after[past.of], null_equal=True):
                    found[past.name].add(column)
    return found
