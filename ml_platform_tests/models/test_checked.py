"""Mistakes of predictors and tasks of one's own are one line where they enter; sound ones pass."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ml_platform.foundation.errors import DeclarationError
from ml_platform.models.checked import CheckedPredictor, Misbehaved, answered, measured
from ml_platform.models.predictor import Importance, load_predictor, predictor_type
from ml_platform.models.regression import Regression
from ml_platform.models.task import Task, task_of

X = np.zeros((5, 2), np.float32)


class Gives:
    """A predictor that gives what a test wants."""

    suffix, packages, unused, width = "txt", (("numpy",),), (), 2
    given: ClassVar[Any] = np.zeros(5, np.float32)

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: tuple[str, ...] = ()) -> "Gives":
        return cls()

    def predict(self, matrix: np.ndarray) -> Any:
        return self.given

    def contributions(self, matrix: np.ndarray) -> Any:
        return self.given

    def importance(self, names: Any) -> None: ...


class Narrow:
    """A predictor that never says how many features it takes."""

    suffix, packages, unused = Gives.suffix, Gives.packages, Gives.unused
    predict, contributions, importance = Gives.predict, Gives.contributions, Gives.importance

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: tuple[str, ...] = ()) -> Any:
        return None if file.name == "nothing.txt" else cls()


class Half:
    """A predictor without the rest."""

    def predict(self, matrix: np.ndarray) -> Any: ...


class Odd(Regression):
    """A task that measures and answers what a test wants."""

    given: ClassVar[Any] = {"mae": 1.0}

    def measure(self, y: np.ndarray, p: np.ndarray) -> Any:
        return self.given

    def answer(self, p: np.ndarray) -> Any:
        return self.given


def gives(value: Any) -> CheckedPredictor:
    made: Any = Gives()
    made.given = value
    return CheckedPredictor(made)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("suffix", ".json", "suffix is str '.json'; expected the end of a file's name"),
        ("suffix", "a/b", "suffix is str 'a/b'"),
        ("packages", ("numpy",), "packages is tuple ('numpy',); expected a tuple of tuples of texts, of each of which"),
        ("packages", ((),), "packages is tuple ((),)"),
        ("packages", "numpy", "packages is str 'numpy'"),
        (
            "packages",
            (("numpy",), ("nunpy", "nmpy")),
            "packages: 'nunpy' is not installed as a distribution; install it",
        ),
        ("packages", (("sklearn",),), "packages: 'sklearn' is not installed as a distribution; is it scikit-learn?"),
        ("unused", "pandas", "unused is str 'pandas'; expected a tuple of texts, such as ('pandas',)"),
    ],
)
def test_what_a_predictor_says_of_itself_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, key: str, value: Any, message: str
) -> None:
    monkeypatch.setattr(Gives, key, value)
    with pytest.raises(DeclarationError) as told:
        predictor_type(f"{__name__}:Gives")
    assert str(told.value).startswith(f"format: {__name__}:Gives.{message}")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", " ", "name is str ' '; expected a text for people"),
        ("title", None, "title is NoneType None; expected a text"),
        ("measured", "mae", "measured is str 'mae'; expected a tuple of texts, such as ('mae',)"),
        ("output", "number", "output is str 'number'; expected probability or classes or value"),
    ],
)
def test_what_a_task_says_of_itself_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, key: str, value: Any, message: str
) -> None:
    monkeypatch.setattr(Odd, key, value)
    with pytest.raises(DeclarationError) as told:
        task_of(f"{__name__}:Odd")
    assert str(told.value).startswith(f"task: {__name__}:Odd.{message}")


def test_a_matrix_that_others_read_is_not_changed() -> None:
    class InPlace(Gives):
        def predict(self, matrix: np.ndarray) -> np.ndarray:
            matrix[:] = 0
            return np.ones(len(matrix), np.float32)

        contributions = predict

    x = np.ones((5, 2), np.float32)
    for method in ("predict", "contributions"):
        with pytest.raises(
            Misbehaved, match=f"InPlace: {method} changes the matrix that it is given .*; copy it first$"
        ):
            getattr(CheckedPredictor(InPlace()), method)(x)
    assert (x == 1).all() and x.flags.writeable


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 3)])
def test_sound_predictions_pass(shape: tuple[int, ...]) -> None:
    assert gives(np.ones(shape, np.float32)).predict(X).shape == shape


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((5, 1), np.float32), r"predict gave float32 \(5, 1\) for 5 rows; expected float32 \(5,\)"),
        (np.zeros(4, np.float32), r"predict gave float32 \(4,\) for 5 rows"),
        (np.zeros(5), r"predict gave float64 \(5,\) for 5 rows"),
        (np.float32(1), "predict gave"),
        ([0.0] * 5, r"predict gave list \[0.0"),
        (None, "predict gave NoneType None for 5 rows"),
        (np.array([0, 0, np.nan, 0, np.inf], np.float32), "2 predictions of 5 rows are NaN or infinite"),
    ],
)
def test_other_predictions_are_named(value: Any, message: str) -> None:
    with pytest.raises(Misbehaved, match=rf"^predictor {__name__}:Gives: {message}"):
        gives(value).predict(X)


def test_contributions_have_a_value_per_feature() -> None:
    assert gives(None).contributions(X) is None
    assert gives(np.zeros((5, 3, 2))).contributions(X) is not None
    with pytest.raises(Misbehaved, match=r"contributions gave float64 \(5, 3\); expected None, or \(5, 2\)"):
        gives(np.zeros((5, 3))).contributions(X)


@pytest.mark.parametrize("value", [[[0.0, 0.0]] * 5, np.full((5, 2), np.nan)])
def test_contributions_are_finite_numbers_of_numpy(value: Any) -> None:
    with pytest.raises(Misbehaved, match=r"contributions gave .*; expected None, or"):
        gives(value).contributions(X)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1.0, 2.0], r"list \[1.0, 2.0\]; expected None, or an Importance by name of a feature"),
        (
            {"a": 1.0},
            "float 1.0 for 'a'; expected ml_platform.models.predictor.Importance.gain, splits., finite, of one of the ",
        ),
        ({"c": Importance(1.0, 2)}, r"Importance .* for 'c'; expected ml_platform"),
        ({"b": Importance(float("nan"), 2)}, r"Importance .* for 'b'; expected ml_platform"),
    ],
)
def test_importance_is_of_the_features(value: Any, said: str) -> None:
    found = gives(None)
    found.predictor.importance = lambda names: {"a": Importance(1.0, 2)}
    assert found.importance(["a", "b"])
    found.predictor.importance = lambda names: value
    with pytest.raises(Misbehaved, match=f"^predictor {__name__}:Gives: importance gave {said}"):
        found.importance(["a", "b"])


def test_what_a_class_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=f"format: {__name__}:Half lacks contributions, importance, load, pack"):
        predictor_type(f"{__name__}:Half")
    with pytest.raises(DeclarationError, match=r"task: .*:Half cannot be made from classes and threshold"):
        task_of(f"{__name__}:Half")
    with pytest.raises(DeclarationError, match=r"task: .* is float32 .*; expected a class"):
        task_of(f"{__name__}:X")
    (tmp_path / "model.txt").touch()
    assert load_predictor(f"{__name__}:Gives", tmp_path / "model.txt").width == 2


def test_what_a_loaded_model_lacks_is_named(tmp_path: Path) -> None:
    """``width`` is set by ``load``: the class cannot show it."""
    for name in ("model.txt", "nothing.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DeclarationError, match=r":Narrow lacks width, which ml_platform.models.predictor:Predictor"):
        load_predictor(f"{__name__}:Narrow", tmp_path / "model.txt")
    with pytest.raises(Misbehaved, match=rf"predictor {__name__}:Narrow: load gave NoneType None; expected a model"):
        load_predictor(f"{__name__}:Narrow", tmp_path / "nothing.txt")


def odd(given: Any) -> Task:
    made: Any = Odd()
    object.__setattr__(made, "given", given)
    return made


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"mae": 1.0, "profit": 2.0}, r"measure gave profit, not among those in `measured` \(mae"),
        ({"mae": float("nan")}, "metric mae is nan; leave out what is undefined"),
        ({"mae": np.float64("inf")}, "metric mae is inf"),
        ({"mae": "1"}, "metric mae is str '1'; expected a number"),
        (None, "measure gave NoneType None; expected metrics by name"),
    ],
)
def test_other_metrics_are_named(value: Any, message: str) -> None:
    with pytest.raises(Misbehaved, match=f"^task {__name__}:Odd: {message}"):
        measured(odd(value), np.zeros(5), np.zeros(5))
    assert measured(odd({"mae": np.float32(1)}), np.zeros(5), np.zeros(5)) == {"mae": 1.0}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"chance": [0.0] * 5}, "answer gave chance; expected the fields predictions"),
        ({"predictions": [0.0] * 4}, "as predictions; expected a list of 5 values"),
        (None, "answer gave NoneType None"),
    ],
)
def test_other_answers_are_named(value: Any, message: str) -> None:
    with pytest.raises(Misbehaved, match=f"^task {__name__}:Odd: .*{message}"):
        answered(odd(value), np.zeros(5, np.float32))
    assert answered(odd({"predictions": [0.0] * 5}), np.zeros(5, np.float32))
