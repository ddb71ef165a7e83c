"""Importing this module registers every kind of gate."""

from ml_platform.gates import (
    batch,
    batch_history,
    batch_periods,
    batch_rows,
    deployment,
    evaluation,
    evaluation_behaviour,
    evaluation_groups,
    features,
    refit,
    replay,
    service,
    shadow,
    split,
)
from ml_platform.gates.gate import KINDS, Gate

__all__ = [
    "KINDS",
    "Gate",
    "batch",
    "batch_history",
    "batch_periods",
    "batch_rows",
    "deployment",
    "evaluation",
    "evaluation_behaviour",
    "evaluation_groups",
    "features",
    "refit",
    "replay",
    "service",
    "shadow",
    "split",
]
