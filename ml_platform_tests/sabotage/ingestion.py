"""Assets from a batch to its features, and changes of rows and of the feature function."""

from collections.abc import Callable

import polars as pl

from ml_platform_tests.project import Outcome, Project
from ml_platform_tests.sabotage import variants

BATCH, DATASET, FEATURES = "flights/batch", "flights/dataset", "flights/features"
#: What is made before features.
INGESTED = (BATCH, DATASET)
#: Number of batch gates in the declarations of the tests.
GATES = 6
#: What somebody does to the rows of a month.
Change = Callable[[pl.DataFrame], pl.DataFrame]


def up_to_publication(project: Project, partition: str) -> Outcome:
    """What arrived is staged, judged and published where it passes; features are none of a batch's business."""
    return project.materialize(*INGESTED, partition=partition, checks=None)


def cut_off(day: int) -> Change:
    """The file ends in the middle of the month."""
    return lambda month: month.filter(pl.col("day") <= day)


def function(name: str) -> dict[str, str]:
    """Declaration of another feature function."""
    return {"function": f"{variants.__name__}:{name}"}
