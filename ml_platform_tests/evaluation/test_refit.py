"""What is measured of a refit: how far it says the same as the judged model, without an outcome."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_platform.evaluation.evaluate import Loaded
from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.evaluation.refit import RefitEvaluation, examine
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.refit import agreement
from ml_platform.references.refs import ModelRef

ROWS = 400
HOLDOUT = pl.DataFrame({"a": np.linspace(0, 1, ROWS, dtype=np.float32), "b": np.arange(ROWS, dtype=np.float32) % 7})
CLASSES = ("low", "middle", "high")


class Line:
    """Predicts ``slope * a + offset``, or with classes what is left of that on both sides."""

    suffix, packages, unused, width = "json", (), (), 2

    def __init__(self, slope: float, offset: float = 0.0, classes: bool = False) -> None:
        self.slope, self.offset, self.classes = slope, offset, classes

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        p = (self.slope * matrix[:, 0] + self.offset).astype(np.float32)
        return np.stack([p, (1 - p) / 2, (1 - p) / 2], axis=1) if self.classes else p

    def contributions(self, matrix: np.ndarray) -> None: ...

    def importance(self, names: Any) -> dict[str, float]:
        return dict.fromkeys(names, 0.0)


def examined(ours: Line, theirs: Line, task: str = "regression", champion: Line | None = None) -> RefitEvaluation:
    def loaded(predictor: Any, sha256: str) -> Loaded:
        classes = CLASSES if task == "multiclass" else ()
        fields = {"model": "m", "sha256": sha256 * 64, "task": task, "classes": classes, "features": ("a", "b")}
        return Loaded(ModelRef.model_construct(**fields), predictor, 10)

    options = EvaluationOptions(threshold=0.5 if task == "binary" else None)
    rival = loaded(champion, "c") if champion else None
    return examine(loaded(ours, "a"), loaded(theirs, "b"), HOLDOUT, rival, options)


def measured(evidence: RefitEvaluation, metric: str) -> float | None:
    side = "min" if metric == "correlation" else "max"
    return agreement(evidence, Gate.model_validate({"gate": "agreement", "metric": metric, side: 0.6})).observed


def test_the_same_outputs_agree() -> None:
    found = examined(Line(0.8), Line(0.8))
    assert (measured(found, "correlation"), measured(found, "difference")) == (pytest.approx(1), 0)
    assert found.rows == ROWS and found.model_bytes == 10 and found.champion is None


def test_another_level_is_a_difference_and_no_other_order() -> None:
    found = examined(Line(0.4, 0.3), Line(0.4))
    assert measured(found, "correlation") == pytest.approx(1)
    # The mean distance from the mean of what is even between 0 and 0.4 is 0.1.
    assert measured(found, "difference") == pytest.approx(3, rel=0.01)


def test_the_opposite_is_seen_by_both() -> None:
    found = examined(Line(-0.8, 0.8), Line(0.8), "binary")
    assert measured(found, "correlation") == pytest.approx(-1)
    assert found.flipped == pytest.approx(1 - 1 / 4, abs=0.01)


def test_the_same_of_every_row_has_nothing_to_do_with_it() -> None:
    found = examined(Line(0, 0.4), Line(0.8))
    assert math.isnan(measured(found, "correlation") or 0)
    assert measured(found, "difference") == pytest.approx(1, rel=0.01)
    gate = Gate(gate="agreement", metric="correlation", min=0.6)
    assert not gate.accepts(measured(found, "correlation") or 0)


def test_two_models_that_say_one_thing_agree() -> None:
    found = examined(Line(0, 0.5), Line(0, 0.5))
    assert (measured(found, "correlation"), measured(found, "difference")) == (1, 0)


def test_classes_count_all_their_probabilities() -> None:
    found = examined(Line(0.4, 0.1, True), Line(0.8, 0.1, True), "multiclass")
    assert measured(found, "correlation") == pytest.approx(1)
    assert 0 < (measured(found, "difference") or 0) < 1.1 and found.directions == {}


def test_the_live_model_is_what_its_explanation_is_held_against() -> None:
    found = examined(Line(0.8), Line(0.8), champion=Line(0.7))
    assert found.champion is not None and found.champion.sha256 == "c" * 64
    assert found.stability is not None and found.stability.candidate == ("a",)


def test_an_empty_holdout_is_told() -> None:
    with pytest.raises(PlatformError, match="the holdout has no rows"):
        examine(*_loaded_pair(), HOLDOUT.clear(), None, EvaluationOptions())


def _loaded_pair() -> tuple[Loaded, Loaded]:
    reference = ModelRef.model_construct(model="m", sha256="a" * 64, task="regression", classes=(), features=("a", "b"))
    one: Any = Line(1)
    return Loaded(reference, one, 1), Loaded(reference, one, 1)
