"""Gates on a split: nothing is both learnt from and tested on, and outcomes are what one has to expect."""

from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Measurement, kind
from ml_platform.references.refs import SplitRef

if TYPE_CHECKING:
    from ml_platform.evaluation.expectation import Gaps

#: Rows of a table that are kept with a verdict.
SHOWN = 100


@kind("disjoint", "split", "Partitions, files or raw batches in both training and holdout", limit=0)
def disjoint(split: SplitRef, _: Gate) -> Measurement:
    """What training and holdout share."""
    from ml_platform.training.split import check_disjoint

    found = check_disjoint(split)
    shared = [*found.partitions, *found.hashes, *found.raw]
    return Measurement(
        found.shared,
        f"in both: {', '.join(shared[:5])}" if shared else "training and holdout share nothing",
        support=len(split.train) + len(split.holdout),
    )


@kind("time_order", "split", "Whether training reaches into the time of the holdout", limit=0, of_time=True)
def time_order(split: SplitRef, _: Gate) -> Measurement:
    """1 where training does not end before the holdout begins."""
    from ml_platform.training.split import check_time_order

    found = check_time_order(split)
    return Measurement(
        0 if found.ordered else 1,
        f"training ends {found.train_last}, the holdout begins {found.holdout_first}",
        support=len(split.train) + len(split.holdout),
    )


@kind(
    "expectation",
    "split",
    "How far mean outcomes of a partition that is new to the champion lie from what it leads one to expect, beyond "
    "what chance explains from day to day, in standard deviations of the outcome; with `columns` in their slices",
    needs=("max",),
    options=("columns",),
    asks=("gaps",),
    # 1: by an approximation of Student's quantiles.
    version=2,
)
def expectation(_: SplitRef, gate: Gate, *, gaps: "Gaps") -> Measurement:
    """Falsified outcomes look like a changed world: before a model learns from what nobody expected, a person looks.

    Nothing is compared before a version answers. Once a version that learned from a partition, or was held against it,
    is the champion, that partition is no news.
    """
    columns = gate.columns or ()
    if not gaps.partitions:
        return Measurement(None, gaps.why)
    known = {gap.column for found in gaps.partitions.values() for gap in found if gap.column}
    if unknown := [name for name in columns if known and name not in known]:
        raise PlatformError(
            f"gate {gate.name}: outcomes are not compared by {', '.join(unknown)}; slices of the feature function with "
            f"enough rows: {', '.join(sorted(known))}"
        )
    chosen = [
        (partition, gap)
        for partition, found in gaps.partitions.items()
        for gap in found
        if (gap.column in columns if columns else not gap.column)
    ]
    if not chosen:
        what = "slices" if columns else "outcomes"
        return Measurement(None, f"too few {what} or days of {', '.join(gaps.partitions)} to compare")
    chosen.sort(key=lambda one: -one[1].beyond)
    partition, worst = chosen[0]
    table: list[dict[str, Any]] = [
        {
            "partition": name,
            "of": gap.where or "all rows",
            "rows": gap.rows,
            "outcome": gap.outcome,
            "expected": gap.expected,
            "beyond": gap.beyond,
        }
        for name, gap in chosen[:SHOWN]
    ]
    return Measurement(
        worst.beyond,
        f"{partition}: {worst.said}, by version {gaps.version}",
        support=sum(gap.rows for _, gap in chosen),
        details={"outcomes": table},
    )
