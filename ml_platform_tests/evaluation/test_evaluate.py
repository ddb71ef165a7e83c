import json
import re
from typing import Literal

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_platform.documents import report
from ml_platform.evaluation.evaluate import evaluate
from ml_platform.evaluation.evaluation import Evaluation
from ml_platform.evaluation.options import EvaluationOptions
from ml_platform.evaluation.tables import calibration_table
from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform_tests.evaluation.fitted import OLDER, OPTIONS, SPLIT, fitted, measured
from ml_platform_tests.training.synthetic import NAMES, frames, split_ref


def test_every_number_of_a_binary_model() -> None:
    found, predictions = measured(SPLIT, OLDER)
    holdout = pl.concat(frames(SPLIT.holdout))
    assert found.rows + found.rows_without_label == holdout.height
    known = holdout.drop_nulls("late")
    p = fitted(SPLIT).predictor.predict(matrix(known, NAMES))
    assert found.metrics["auc"] == pytest.approx(roc_auc_score(known["late"].to_numpy(), p))
    assert found.metrics["auc"] > found.baselines["base_rate"]["auc"] == 0.5
    assert found.train_metrics["auc"] > found.metrics["auc"]
    np.testing.assert_allclose(predictions["prediction"].to_numpy(), p)
    assert set(predictions.columns) == {
        *("flight", "date", "carrier", "late", "arr_delay", "label", "prediction", "champion_prediction")
    }
    assert [row["group"] for row in found.months] == ["2013-05", "2013-06"]
    assert sum(row["rows"] for row in found.months) == found.rows
    assert found.importance[0]["feature"] == "signal"
    assert sum(row["share"] for row in found.importance) == pytest.approx(1)
    assert found.champion is not None and found.champion.excluded == 0
    comparison = found.champion.comparisons["auc"]
    assert comparison.clusters == known["date"].n_unique()
    assert comparison.candidate == pytest.approx(found.metrics["auc"])
    assert 0 < found.champion.churn["flipped"] < 1
    assert Evaluation.model_validate_json(found.model_dump_json()) == found
    json.loads(found.model_dump_json(), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def test_slices_equal_the_metrics_of_their_rows_and_small_ones_have_none() -> None:
    found, predictions = measured(SPLIT)
    rows = {row["group"]: row for row in found.slices["carrier"]}
    part = predictions.filter(pl.col("carrier") == "UA")
    y, p = part["label"].to_numpy(), part["prediction"].to_numpy()
    chosen = p >= 0.3
    expected = {
        "auc": roc_auc_score(y, p),
        "brier": np.mean((p - y) ** 2),
        "base_rate": y.mean(),
        "mean_prediction": p.mean(),
        "selection_rate": chosen.mean(),
        "true_positive_rate": chosen[y == 1].mean(),
        "false_positive_rate": chosen[y == 0].mean(),
    }
    assert {name: rows["UA"][name] for name in expected} == pytest.approx(expected)
    assert rows["UA"]["rows"] == part.height and rows["UA"]["positives"] == y.sum()
    assert rows["ZZ"]["supported"] is False and rows["ZZ"]["auc"] is None
    assert 0 < rows["ZZ"]["rows"] < OPTIONS.min_support


def test_regression() -> None:
    options = EvaluationOptions(slices=("carrier",), min_support=100)
    found, _ = measured(SPLIT, OLDER, "regression", options)
    assert found.metrics["mae"] < found.baselines["median"]["mae"]
    assert found.champion is not None and set(found.champion.comparisons) == {"mae", "rmse", "r2"}
    assert found.slices["carrier"][0]["mae"] > 0
    assert sum(rows for _, rows in found.curves["residuals"]) >= 0.97 * found.rows


def test_a_champion_that_saw_the_holdout_is_compared_on_the_rest_or_not_at_all() -> None:
    found, _ = measured(SPLIT, split_ref(range(1, 7), holdout=1))
    assert found.champion is not None
    assert found.champion.rows == found.months[1]["rows"]
    assert found.champion.comparisons["auc"].rows == found.champion.rows
    nothing, _ = measured(SPLIT, split_ref(range(1, 8), holdout=1))
    assert nothing.champion is not None
    assert (nothing.champion.rows, nothing.champion.comparisons) == (0, {})
    assert "no fair comparison" in nothing.champion.note


def test_what_cannot_be_evaluated_is_named() -> None:
    model, rows = fitted(SPLIT), frames(SPLIT.holdout)[0]
    with pytest.raises(PlatformError, match="columns region are not in the holdout"):
        evaluate(model, rows, rows, None, EvaluationOptions(threshold=0.3, slices=("region",)))
    with pytest.raises(PlatformError, match="needs a decision threshold"):
        evaluate(model, rows, rows, None, EvaluationOptions())
    with pytest.raises(PlatformError, match="no row of the holdout has a value of late"):
        evaluate(model, rows.with_columns(late=pl.lit(None, pl.Int8)), rows, None, OPTIONS)
    with pytest.raises(PlatformError, match="the champion predicts arr_delay"):
        evaluate(model, rows, rows, fitted(OLDER, "regression"), OPTIONS)


def test_calibration_of_a_calibrated_a_shifted_and_a_constant_model() -> None:
    random = np.random.default_rng(0)
    p = random.random(50_000)
    y = (random.random(50_000) < p).astype(float)
    table, error = calibration_table(y, p, 10)
    assert [row["rows"] for row in table] == [5000] * 10
    assert error < 0.02
    assert calibration_table(y, p + 0.1, 10)[1] == pytest.approx(0.1, abs=0.02)
    constant, error = calibration_table(y, np.full(50_000, 0.5), 10)
    assert len(constant) == 1 and error < 0.02


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_report_is_one_page_that_needs_nothing_else(task: Literal["binary", "regression"]) -> None:
    evaluation, _ = measured(SPLIT, OLDER, task)
    reference = fitted(SPLIT, task).reference
    html = report.render(evaluation, reference)
    assert html == report.render(evaluation, reference)
    assert not re.search(r"""(src|href)=["'](?!#|data:image/png;base64,)""", html)
    hashes = (reference.sha256, reference.manifest_sha256, "c" * 12)
    for expected in (*hashes, "Against the champion", "<svg", "signal"):
        assert expected in html


def test_a_report_escapes_the_names_in_the_data() -> None:
    evaluation, _ = measured(SPLIT)
    rows = [{**row, "group": "<script>"} for row in evaluation.slices["carrier"]]
    html = report.render(evaluation.model_copy(update={"slices": {"carrier": rows}}), fitted(SPLIT).reference)
    assert "<script>" not in html and "&lt;script&gt;" in html
