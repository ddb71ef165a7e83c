"""Gradient-boosted trees of XGBoost, read from UBJSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import Importance, check_width, thread_count
from ml_platform.models.xgboost_internals import in_place

if TYPE_CHECKING:
    import numpy as np
    import xgboost


#: Objectives whose margin is the logarithm of what is predicted.
LOGARITHMS = ("count:poisson", "reg:gamma", "reg:tweedie")


class XGBoost:
    """A booster that predicts in place: no copy of the matrix, no thread but those it was given."""

    suffix: ClassVar[str] = "ubj"
    packages: ClassVar[tuple[tuple[str, ...], ...]] = (("xgboost-cpu", "xgboost"),)
    # Hiding them halves time to ready and memory of a service.
    unused: ClassVar[tuple[str, ...]] = ("sklearn", "pandas")

    #: Whether the contributions of a row are the same alone and among others.
    explains_rows: ClassVar[bool] = True

    def __init__(self, booster: "xgboost.Booster") -> None:
        self.booster = booster
        self.width = booster.num_features()
        self._in_place = in_place(booster)

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: Sequence[str] = ()) -> Self:
        """A booster from its file. UBJSON holds numbers only, so that there are no types to record."""
        import xgboost

        booster = xgboost.Booster({"nthread": thread_count(threads)})
        try:
            booster.load_model(bytearray(file.read_bytes()))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise PlatformError(
                f"model {file} is not an XGBoost model in UBJSON; train or download it again"
            ) from error
        return cls(booster)

    def predict(self, matrix: "np.ndarray") -> "np.ndarray":
        """Per row the probability of a binary model, those of each class of a multiclass one, else the value."""
        import numpy as np

        check_width(self.width, matrix)
        return self._in_place(np.ascontiguousarray(matrix, dtype=np.float32))

    def contributions(self, matrix: "np.ndarray") -> "np.ndarray":
        """SHAP values in units of the margin, by XGBoost's TreeSHAP (Lundberg et al. 2020)."""
        import xgboost

        # The last column is the bias.
        data = xgboost.DMatrix(matrix, feature_names=self.booster.feature_names)
        return self.booster.predict(data, pred_contribs=True)[..., :-1]

    @property
    def contributions_unit(self) -> str:
        """The logarithm of the target where the objective predicts it; empty where it is the task's own."""
        import json

        objective = json.loads(self.booster.save_config())["learner"]["objective"]["name"]
        return "log of the target" if objective in LOGARITHMS else ""

    def beginning(self, rounds: int) -> list[str]:
        """The trees of the first rounds, with the statistics of their nodes, as text."""
        return (
            self.booster[:rounds].get_dump(with_stats=True, dump_format="json")
            if self.booster.num_boosted_rounds()
            else []
        )

    def importance(self, names: Sequence[str]) -> dict[str, Importance]:
        """Gain and number of the splits by each feature that has any."""
        gain: dict[str, Any] = self.booster.get_score(importance_type="total_gain")
        splits: dict[str, Any] = self.booster.get_score(importance_type="weight")
        own = self.booster.feature_names or [f"f{index}" for index in range(self.width)]
        return {
            name: Importance(float(gain[key]), int(splits[key]))
            for name, key in zip(names, own, strict=True)
            if key in gain
        }
