from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_platform.foundation.errors import PlatformError
from ml_platform.training.parameters import TrainingParameters
from ml_platform.training.train import load_booster, matrix, predict, train, training_key
from ml_platform_tests.training.synthetic import NAMES, month_frame, split_ref

PARAMETERS = TrainingParameters(rounds=20, colsample_bytree=0.5, subsample=0.7, min_child_weight=5)
FRAMES = [month_frame(1), month_frame(2)]


def test_bytes_do_not_depend_on_threads_runs_or_how_rows_are_cut_into_frames() -> None:
    one = train(FRAMES, NAMES, "late", "binary", PARAMETERS, 1).content
    assert train(FRAMES, NAMES, "late", "binary", PARAMETERS, 2).content == one
    assert train(FRAMES, NAMES, "late", "binary", PARAMETERS, 2).content == one
    assert train(pl.concat(FRAMES), NAMES, "late", "binary", PARAMETERS, 1).content == one


def test_bytes_depend_on_seed_parameters_and_labels() -> None:
    def content(frames: list[pl.DataFrame] = FRAMES, **changed: int) -> bytes:
        parameters = PARAMETERS.model_copy(update=changed)
        return train(frames, NAMES, "late", "binary", parameters, 1).content

    flipped = [FRAMES[0].with_columns(late=1 - pl.col("late")), FRAMES[1]]
    assert len({content(), content(seed=1), content(max_depth=3), content(frames=flipped)}) == 4


def test_rows_without_a_label_are_left_out_and_counted() -> None:
    trained = train(FRAMES, NAMES, "late", "binary", PARAMETERS, 1)
    unlabelled = sum(frame["late"].null_count() for frame in FRAMES)
    assert unlabelled > 0
    assert trained.dropped == unlabelled
    assert trained.rows == sum(frame.height for frame in FRAMES) - unlabelled
    without = [frame.drop_nulls("late") for frame in FRAMES]
    assert train(without, NAMES, "late", "binary", PARAMETERS, 1).content == trained.content


def test_a_model_carries_its_names_and_predicts_the_same_from_bytes_and_file(tmp_path: Path) -> None:
    content = train(FRAMES, NAMES, "late", "binary", PARAMETERS, 1).content
    (tmp_path / "model.ubj").write_bytes(content)
    booster = load_booster(content)
    assert booster.feature_names == list(NAMES)
    x = matrix(month_frame(3), NAMES)
    p = predict(booster, x)
    assert p.dtype == np.float32 and p.shape == (1500,)
    assert 0 < p.min() < p.max() < 1
    np.testing.assert_array_equal(p, predict(load_booster(tmp_path / "model.ubj", 2), x))
    np.testing.assert_array_equal(p[7:8], predict(booster, x[7:8]))


def test_regression_predicts_on_the_scale_of_the_target() -> None:
    booster = load_booster(train(FRAMES, NAMES, "arr_delay", "regression", PARAMETERS, 1).content)
    frame = month_frame(3).drop_nulls("arr_delay")
    error = np.abs(predict(booster, matrix(frame, NAMES)) - frame["arr_delay"].to_numpy()).mean()
    assert error < np.abs(frame["arr_delay"].to_numpy() - FRAMES[0]["arr_delay"].median()).mean()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAMES[0].drop("weak"), "features weak are not in the frame"),
        (FRAMES[0].with_columns(weak=pl.lit("high")), "feature weak is String, not numeric"),
        (FRAMES[0].with_columns(weak=pl.lit(float("inf"))), "features weak hold infinite values"),
        (FRAMES[0].drop("late"), "target late is not among the columns"),
        (FRAMES[0].with_columns(late=pl.lit(2)), "values other than 0 and 1"),
        (FRAMES[0].with_columns(late=pl.lit(None, pl.Int8)), "no row has a value of late"),
        (FRAMES[0].with_columns(late=pl.lit(1)), "needs both classes"),
    ],
)
def test_frames_that_cannot_be_learnt_from_are_named(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(PlatformError, match=message):
        train(frame, NAMES, "late", "binary", PARAMETERS, 1)


def test_broken_models_and_matrices_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="not an XGBoost model"):
        load_booster(b"no model")
    with pytest.raises(PlatformError, match="does not exist"):
        load_booster(tmp_path / "none.ubj")
    booster = load_booster(train(FRAMES, NAMES, "late", "binary", PARAMETERS, 1).content)
    with pytest.raises(PlatformError, match="expects 4 features"):
        predict(booster, np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"eta": 0}, {"eta": float("nan")}, {"depth": 3}, {"seed": -1}])
def test_parameters_are_checked(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        TrainingParameters.model_validate(wrong)


def test_an_objective_has_to_fit_the_task() -> None:
    parameters = TrainingParameters(objective="reg:absoluteerror")
    assert parameters.to_xgboost("regression")["objective"] == "reg:absoluteerror"
    with pytest.raises(PlatformError, match="does not fit the task binary"):
        parameters.to_xgboost("binary")


def test_the_key_changes_with_everything_that_decides_the_bytes() -> None:
    split = split_ref(range(1, 4))

    def made(**changed: Any) -> str:
        values: dict[str, Any] = {
            "split": split,
            "task": "binary",
            "target": "late",
            "names": NAMES,
            "parameters": PARAMETERS,
            "code_version": "1",
        }
        return training_key(**(values | changed))

    other_run = split.model_copy(update={"run_id": "dagster-2"})
    assert made() == made() == made(split=other_run)
    changes: list[dict[str, Any]] = [
        {"split": split_ref(range(1, 5))},
        {"target": "arr_delay"},
        {"task": "regression"},
        {"names": NAMES[::-1]},
        {"parameters": PARAMETERS.model_copy(update={"seed": 9})},
        {"code_version": "2"},
    ]
    assert len({made(), *(made(**change) for change in changes)}) == 7
