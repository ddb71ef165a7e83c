"""What moved a prediction: the strongest features of each row, from the very matrix that was predicted from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, create_model

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import Predictor

#: Rows of one request that are explained: each costs as much as the prediction of hundreds.
MAX_ROWS = 100
#: Features that are named for each row.
TOP = 10


class Contribution(BaseModel):
    """One feature of one row: its value (not given where it is missing) and how far it moved the prediction."""

    feature: str
    value: float | None = None
    contribution: float


def explanation_model(answer: type[BaseModel]) -> type[BaseModel]:
    """The body of an answer with ``explanations``: for each row the strongest features, the strongest first."""
    return create_model(
        "Explanation", __base__=answer, __doc__=answer.__doc__, explanations=(list[list[Contribution]], ...)
    )


def require_explainable(predictor: Predictor, format: str, rows: int) -> None:
    """Raises PlatformError for too many rows, and for a model that gives no contributions of a row by itself.

    Those of a linear model are against the mean of the rows that are given: of one row they would be nothing.
    """
    if not getattr(predictor, "explains_rows", False):
        raise PlatformError(f"a model of the format {format} gives no contributions of a row; predict answers")
    if rows > MAX_ROWS:
        raise PlatformError(f"{rows} rows; at most {MAX_ROWS} are explained at one time")


def explanations(
    predictor: Predictor, matrix: np.ndarray, predictions: np.ndarray, features: Sequence[str]
) -> list[list[dict[str, Any]]]:
    """The :data:`TOP` features of each row by the size of their SHAP value, in units of the model's margin (log-odds of
    a binary model; of several classes, for the one that is decided for)."""
    values = predictor.contributions(matrix)
    assert values is not None
    if values.ndim == 3:
        values = values[np.arange(len(values)), predictions.argmax(axis=1)]
    found = []
    for row, moved in zip(matrix, values, strict=True):
        strongest = np.argsort(-np.abs(moved), kind="stable")[:TOP]
        found.append(
            [
                {
                    "feature": features[place],
                    "value": None if np.isnan(row[place]) else float(row[place]),
                    "contribution": float(moved[place]),
                }
                for place in strongest
            ]
        )
    return found
