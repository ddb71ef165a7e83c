"""Gates on a split: nothing is both learnt from and tested on."""

from ml_platform.gates.gate import Gate, Measurement, kind
from ml_platform.references.refs import SplitRef


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
