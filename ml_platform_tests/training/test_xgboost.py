from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import load_predictor
from ml_platform.models.task import task_of
from ml_platform.models.xgboost import XGBoost
from ml_platform.training.code import Recipe, code_versions
from ml_platform.training.trainer import trainer_of
from ml_platform.training.xgboost import XGBoostParameters
from ml_platform_tests.training.synthetic import NAMES, Fit, fit, month_frame, split_ref

PARAMETERS = XGBoostParameters(rounds=20, colsample_bytree=0.5, subsample=0.7, min_child_weight=5)
FRAMES = [month_frame(1), month_frame(2)]


def trained(
    frames: list[pl.DataFrame] = FRAMES, target: str = "late", task: str = "binary", threads: int = 1, **changed: Any
) -> Fit:
    return fit(frames, target, task, threads=threads, **(PARAMETERS.model_dump() | changed))


def test_bytes_do_not_depend_on_threads_runs_or_how_rows_are_cut_into_frames() -> None:
    one = trained().content
    assert trained(threads=2).content == one
    assert trained(threads=2).content == one
    assert trained([pl.concat(FRAMES)]).content == one


def test_bytes_depend_on_seed_parameters_and_labels() -> None:
    def content(frames: list[pl.DataFrame] = FRAMES, **changed: Any) -> bytes:
        return trained(frames, **changed).content

    flipped = [FRAMES[0].with_columns(late=1 - pl.col("late")), FRAMES[1]]
    assert len({content(), content(seed=1), content(max_depth=3), content(frames=flipped)}) == 4


def test_rows_without_a_label_are_left_out_and_counted() -> None:
    done = trained().trained
    unlabelled = sum(frame["late"].null_count() for frame in FRAMES)
    assert unlabelled > 0
    assert done.dropped == unlabelled
    assert done.rows == sum(frame.height for frame in FRAMES) - unlabelled
    without = [frame.drop_nulls("late") for frame in FRAMES]
    assert trained(without).content == trained().content


def test_a_model_carries_its_names_and_predicts_a_row_as_among_others(tmp_path: Path) -> None:
    done = trained()
    assert isinstance(done.predictor, XGBoost) and done.predictor.booster.feature_names == list(NAMES)
    (tmp_path / "model.ubj").write_bytes(done.content)
    x = matrix(month_frame(3), NAMES)
    p = done.predictor.predict(x)
    assert p.dtype == np.float32 and p.shape == (1500,)
    assert 0 < p.min() < p.max() < 1
    np.testing.assert_array_equal(p, load_predictor("ubj", tmp_path / "model.ubj", 2).predict(x))
    np.testing.assert_array_equal(p[7:8], done.predictor.predict(x[7:8]))


def test_regression_predicts_on_the_scale_of_the_target() -> None:
    predictor = trained(FRAMES, "arr_delay", "regression").predictor
    frame = month_frame(3).drop_nulls("arr_delay")
    error = np.abs(predictor.predict(matrix(frame, NAMES)) - frame["arr_delay"].to_numpy()).mean()
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
        trained([frame])


def test_broken_models_and_matrices_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_bytes(b"no model")
    with pytest.raises(PlatformError, match="not an XGBoost model"):
        load_predictor("ubj", tmp_path / "model.ubj")
    with pytest.raises(PlatformError, match="does not exist"):
        load_predictor("ubj", tmp_path / "none.ubj")
    with pytest.raises(PlatformError, match="expects 4 features"):
        trained().predictor.predict(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"eta": 0}, {"eta": float("nan")}, {"depth": 3}, {"seed": -1}])
def test_parameters_are_checked(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        XGBoostParameters.model_validate(wrong)


def test_an_objective_has_to_fit_the_task() -> None:
    parameters = XGBoostParameters(objective="reg:absoluteerror")
    assert parameters.to_xgboost(task_of("regression"))["objective"] == "reg:absoluteerror"
    with pytest.raises(PlatformError, match="does not fit the task binary"):
        trainer_of("xgboost").check(parameters, task_of("binary"))


def test_the_key_changes_with_everything_that_decides_the_bytes() -> None:
    split = split_ref(range(1, 4))

    def made(**changed: Any) -> str:
        values: dict[str, Any] = {
            "trainer": "xgboost",
            "task": "binary",
            "target": "late",
            "names": NAMES,
            "parameters": PARAMETERS,
            "code": "1",
        }
        rows = changed.pop("split", split)
        return Recipe(**(values | changed)).key(rows)

    other_run = split.model_copy(update={"run_id": "dagster-2"})
    assert made() == made() == made(split=other_run)
    changes: list[dict[str, Any]] = [
        {"split": split_ref(range(1, 5))},
        {"target": "arr_delay"},
        {"trainer": "sklearn"},
        {"task": "regression"},
        {"names": NAMES[::-1]},
        {"parameters": PARAMETERS.model_copy(update={"seed": 9})},
        {"code": "2"},
    ]
    assert len({made(), *(made(**change) for change in changes)}) == 8


def test_the_key_is_that_of_earlier_releases() -> None:
    """Written down when there was one trainer: what is trained is found again."""
    recipe = Recipe("xgboost", "binary", "late", NAMES, PARAMETERS, "1-xgboost-3.2.0")
    of_before = "0ff4690c7f18ce84acaf1f877678938250a88f490ac88669a2d85d4876de6fa2"  # pragma: allowlist secret
    assert recipe.sha256 == of_before
    key = recipe.key(split_ref(range(1, 4)))
    assert key == "3eb5dd51f8b36f0bdcbbf9ca609aa9bf27c2910bb5d7b130b9f1d9382731c7df"  # pragma: allowlist secret
    number, before = code_versions("xgboost", trainer_of("xgboost"))
    assert number.startswith("1-xgboost-") and before.startswith("cc3080f55ea395fb-xgboost-")
