"""What a model is to everybody else: a task (what is predicted, how it is measured) and a predictor (a file that
predicts). How it is trained is no business of this package.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "binary",
    "checked",
    "code",
    "dry_run",
    "multiclass",
    "outputs",
    "predictor",
    "regression",
    "sklearn",
    "task",
]
