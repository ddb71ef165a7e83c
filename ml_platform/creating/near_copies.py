"""How well a column alone predicts the target: what nearly is the target is known no sooner than the target."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: From here on a column is taken for a copy of the target, and from the second on it is told.
COPY, STRONG = 0.98, 0.95
#: From here on that a value is there says too much: it was filled in when the target was known.
FILLED = 0.9
#: Most rows that are looked at; groups into which a number is divided; folds.
ROWS, BINS, FOLDS = 20_000, 100, 5
#: Weight of the mean over all rows in the mean of a group, rows.
_PRIOR = 1.0


@dataclass(frozen=True)
class Alone:
    """What one column says of the target, on rows that were not looked at for it."""

    column: str
    #: AUC of two classes; of more, the share of errors that it avoids; of numbers, R2 of their ranks.
    score: float
    measure: str


def alone(frame: "pl.DataFrame", target: str, columns: list[str], *, number: bool) -> list[Alone]:
    """Each column by itself, best first. ``number``: the target is one, else its values are classes."""
    import numpy as np
    import polars as pl

    known = frame.filter(pl.col(target).is_not_null())
    if known.height > ROWS:
        known = known.sample(ROWS, seed=0)
    fold = np.random.default_rng(0).integers(0, FOLDS, known.height)
    if number:
        ranks = known[target].rank("average").to_numpy()
        wanted = {"": (ranks - ranks.mean()) / max(float(ranks.std()), 1e-12)}
    else:
        classes = known[target].value_counts().sort(["count", target], descending=[True, False])[target].to_list()
        texts = known[target]
        wanted = {str(one): (texts == one).to_numpy().astype(float) for one in classes[:20]}
        if len(classes) == 2:
            wanted.pop(str(classes[0]))
    found = []
    for column in columns:
        groups = _groups(known[column])
        given = {name: _held_out(groups, y, fold) for name, y in wanted.items()}
        score, measure = _score(wanted, given, number)
        found.append(Alone(column, score, measure))
    return sorted(found, key=lambda one: (-one.score, one.column))


def filled_in(frame: "pl.DataFrame", target: str, columns: list[str], *, number: bool) -> list[Alone]:
    """As :func:`alone`, of whether each column has a value at all, where some rows have one and some have none."""
    import polars as pl

    shares = {name: frame[name].null_count() / max(frame.height, 1) for name in columns}
    chosen = [name for name, share in shares.items() if 0.01 <= share <= 0.99]
    flags = frame.select(target, *(pl.col(name).is_null() for name in chosen))
    return [one for one in alone(flags, target, chosen, number=number) if one.score >= FILLED] if chosen else []


def _groups(values: "pl.Series") -> "np.ndarray":
    """A number for the group of each row: value, or bin of a number; missing values are a group."""
    import numpy as np
    import polars as pl

    if values.dtype.is_temporal():
        values = values.cast(pl.Datetime("us")).cast(pl.Int64)
    if not values.dtype.is_numeric():
        return values.cast(pl.String).cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    if values.n_unique() > BINS:
        ranks = (values.rank("dense") - 1).cast(pl.Float64)
        top = ranks.max() or 1
        binned = (ranks / (float(top) + 1) * BINS).floor().cast(pl.Int64)  # type: ignore[arg-type]
        even = (values.rank("ordinal").cast(pl.Float64) / (values.len() + 1) * BINS).floor().cast(pl.Int64)
        # Equal values stay together; where they are many, bins by rank of rows would part them.
        chosen = even if values.n_unique() > values.len() // 2 else binned
        return chosen.fill_null(-1).to_numpy()
    return np.asarray(values.rank("dense").cast(pl.Int64).fill_null(-1).to_numpy())


def _held_out(groups: "np.ndarray", y: "np.ndarray", fold: "np.ndarray") -> "np.ndarray":
    """The mean of the target in the group of each row, from the other folds."""
    import numpy as np

    _, place = np.unique(groups, return_inverse=True)
    sums = np.zeros((place.max() + 1, FOLDS))
    counts = np.zeros_like(sums)
    np.add.at(sums, (place, fold), y)
    np.add.at(counts, (place, fold), 1)
    others, n = sums.sum(axis=1, keepdims=True) - sums, counts.sum(axis=1, keepdims=True) - counts
    return ((others + _PRIOR * y.mean()) / (n + _PRIOR))[place, fold]


def _score(wanted: "dict[str, np.ndarray]", given: "dict[str, np.ndarray]", number: bool) -> tuple[float, str]:
    import numpy as np

    if number:
        y, p = wanted[""], given[""]
        return max(0.0, 1 - float(((y - p) ** 2).sum() / max(float((y**2).sum()), 1e-12))), "R2 of ranks"
    if len(wanted) == 1:
        (y,), (p,) = wanted.values(), given.values()
        return _auc(y, p), "AUC"
    names = list(wanted)
    p, y = np.stack([given[name] for name in names]), np.stack([wanted[name] for name in names])
    right = y[p.argmax(axis=0), np.arange(p.shape[1])].mean()
    usual = y.mean(axis=1).max()
    return max(0.0, float((right - usual) / max(1 - usual, 1e-12))), "share of errors avoided"


def _auc(y: "np.ndarray", p: "np.ndarray") -> float:
    import polars as pl

    ranks = pl.Series(p).rank("average").to_numpy()
    positives = y.sum()
    if not 0 < positives < len(y):
        return 0.5
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))
