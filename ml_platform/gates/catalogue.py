"""Importing this module registers every kind of gate."""

from ml_platform.gates import (
    batch,
    data,
    deployment,
    evaluation,
    features,
    periods,
    quality,
    refit,
    replay,
    rows,
    service,
    split,
)
from ml_platform.gates.gate import KINDS, Gate

__all__ = [
    "KINDS",
    "Gate",
    "batch",
    "data",
    "deployment",
    "evaluation",
    "features",
    "periods",
    "quality",
    "refit",
    "replay",
    "rows",
    "service",
    "split",
]
