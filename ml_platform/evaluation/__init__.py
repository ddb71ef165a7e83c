"""What a model is worth on rows that it has not learnt from: metrics beside baselines and champion, slices, fairness,
robustness.

Thresholds are said in ``gates``, pages in ``documents``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "baselines",
    "champion",
    "estimation",
    "evaluate",
    "evaluation",
    "expectation",
    "fairness",
    "intervals",
    "latency",
    "options",
    "refit",
    "robustness",
    "student",
    "tables",
]
