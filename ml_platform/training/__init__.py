"""From feature frames to the file of a model: split, trainers, and the version of the code that trains.

It knows no tracking, no store and no registry; ``pipeline/mlflow_training.py`` keeps what comes out.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["code", "first_trees", "sklearn", "split", "trainer"]
