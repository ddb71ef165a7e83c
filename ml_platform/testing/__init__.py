"""What an implementation of a seam has to do, as classes of tests to inherit from: for a project of one's own too.

They need pytest, that of stores hypothesis, and those of what several processes open cloudpickle; no other room uses
this one.
"""

import pytest

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "alerts",
    "answers",
    "attributes",
    "contents",
    "elsewhere",
    "explanations",
    "fitting",
    "gate",
    "labelled",
    "merging",
    "predicting",
    "references",
    "rollout_records",
    "source",
    "store",
    "task",
    "trainer",
]

# A bare `assert` of theirs says what it found, wherever the class that inherits from them is.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in __all__))
