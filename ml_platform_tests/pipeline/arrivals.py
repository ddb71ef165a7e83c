"""Features of the example with a target of three classes, how a flight arrives, and a model of it."""

from typing import Any

import polars as pl

from ml_platform.defs.flights.features import LATE_MINUTES, FlightFeatures

CLASSES = ("early", "on time", "late")
PARAMETERS = {"rounds": 40, "max_depth": 4, "eta": 0.1, "min_child_weight": 20, "colsample_bytree": 0.3, "seed": 7}
#: What such a model declares otherwise than the example's.
ARRIVAL: dict[str, Any] = {
    "target": "arrival",
    "task": "multiclass",
    "classes": list(CLASSES),
    "decision_threshold": None,
    "drift": None,
    "parameters": {**PARAMETERS, "rounds": 20},
    "gates": [
        {"gate": "performance", "metric": "auc_macro", "min": 0.55},
        {"gate": "performance", "metric": "f1_macro", "min": 0.3},
        # A linear model is as good on some thousand rows.
        {"gate": "baseline", "metric": "auc_macro", "min": -0.05},
        {"gate": "champion", "metric": "log_loss", "mode": "non_inferior", "min": -0.05},
        {"gate": "confidence", "metric": "accuracy", "min": 0.4},
        {"gate": "leak_alarm", "metric": "accuracy", "max": 0.9},
        {"gate": "calibration", "max": 0.1},
        {"gate": "slices", "metric": "accuracy", "columns": ["origin"], "max": 0.15},
        {"gate": "fairness", "metric": "demographic_parity_difference", "columns": ["origin"], "max": 0.6},
        {"gate": "robustness", "metric": "missing_loss", "max": 0.2},
        {"gate": "robustness", "metric": "noise_flipped", "max": 0.2},
        {"gate": "robustness", "metric": "unseen_loss", "max": 0.2},
        {"gate": "robustness", "metric": "worst_case_flipped", "max": 0.9},
        {"gate": "churn", "metric": "flipped", "max": 0.3},
        {"gate": "explanation", "metric": "shap_values", "min": 0.4},
        {"gate": "servability"},
        {"gate": "skew", "max": 0},
        {"gate": "bad_input"},
    ],
}


class ArrivalFeatures(FlightFeatures):
    """``arrival``: early (before the timetable), on time, late (by more than :data:`LATE_MINUTES` minutes)."""

    labels = (*FlightFeatures.labels, "arrival")

    def targets(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The labels of the example and the class; null where the flight did not arrive."""
        delay = pl.col("arr_delay")
        late = pl.when(delay > LATE_MINUTES).then(pl.lit("late"))
        return (
            super()
            .targets(raw)
            .with_columns(
                raw.select(
                    arrival=late.when(delay < 0).then(pl.lit("early")).when(delay.is_not_null()).then(pl.lit("on time"))
                )
            )
        )


arrivals = ArrivalFeatures()
