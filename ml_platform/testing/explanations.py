"""What explains the predictions of a trained model: part of the suite of trainers."""

import numpy as np
import polars as pl
import pytest

from ml_platform.features.build import matrix
from ml_platform.models.checked import unit_of
from ml_platform.models.predictor import Importance
from ml_platform.testing.fitting import Fitting

#: A feature that has the same value in every row.
CONSTANT = "never differs"


class ExplanationContract(Fitting):
    """The tests of contributions and importance."""

    def test_explanations_have_a_value_per_feature(self) -> None:
        """Where there are any."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)[:50]
        values = predictor.contributions(x)
        assert values is None or (values.shape[0], values.shape[-1]) == x.shape
        importance = predictor.importance(self.names)
        assert values is None or np.isfinite(values).all()
        assert importance is None or set(importance) <= set(self.names)
        found = (importance or {}).values()
        assert [one for one in found if not isinstance(one, Importance) or not np.isfinite(one).all()] == []

    def test_what_explains_a_prediction_adds_up_to_it(self) -> None:
        """Beside a constant, in the unit of the contributions; of a unit of its own in the order of the predictions."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)
        values, p = predictor.contributions(x), predictor.predict(x).astype(np.float64)
        unit = unit_of(predictor)
        if values is None:
            return
        sums = values.astype(np.float64).sum(axis=-1)
        if unit and p.ndim == 1:
            order = np.argsort(p, kind="stable")
            falls = -np.diff(sums[order]).min(initial=0.0)
            assert falls <= 1e-3 * np.ptp(sums), "contributions_unit: larger predictions have smaller sums"
            return
        kept = (p > 1e-4) & (p < 1 - 1e-4) if self.kind().output != "value" else np.isfinite(p)
        if p.ndim == 2:
            kept = kept.all(axis=1)
            p, sums = np.log(p[kept]), sums[kept]
            p, sums = p - p[:, :1], sums - sums[:, :1]
        else:
            p, sums = p[kept], sums[kept]
            p = np.log(p / (1 - p)) if self.kind().output == "probability" else p
        if not len(p):
            pytest.skip("every prediction is certain; give the contract rows that are not")
        apart = np.ptp(p - sums, axis=0).max()
        assert apart <= 1e-3 * (1 + np.ptp(p)), f"contributions leave up to {apart:g} of a prediction unexplained"

    def test_a_row_is_explained_as_among_others(self) -> None:
        """Where the predictor says so by `explains_rows`."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)[:50]
        said = getattr(predictor, "explains_rows", False)
        assert isinstance(said, bool), "explains_rows: True or False"
        if not said:
            return
        # Rows with a missing feature too, where the data have none.
        x = x.copy()
        x[np.arange(0, len(x), 3), np.arange(0, len(x), 3) % x.shape[1]] = np.nan
        values = predictor.contributions(x)
        assert values is not None, "explains_rows is True, and contributions gave None"
        for row in range(0, len(x), max(1, len(x) // 15)):
            alone = predictor.contributions(x[row : row + 1])
            assert alone is not None
            np.testing.assert_allclose(alone[0], values[row], rtol=1e-4, atol=1e-5, err_msg="explained alone")

    def test_a_feature_that_never_differs_explains_nothing(self) -> None:
        """Wherever it stands: contributions and importance are those of the feature that they are named for."""
        same = pl.lit(1.0).alias(CONSTANT)
        frames, unseen = [frame.with_columns(same) for frame in self.frames], self.unseen.with_columns(same)
        for place in (0, len(self.names)):
            names = [*self.names]
            names.insert(place, CONSTANT)
            predictor = self.fit(frames, names=names).predictor
            values = predictor.contributions(matrix(unseen, names)[:50])
            if values is not None:
                own, all_of_them = np.abs(values[..., place]).max(), np.abs(values).sum(axis=-1).max()
                assert own <= 1e-3 * all_of_them, f"contributions: feature {place} of {len(names)} never differs"
            gains = {name: abs(one.gain) for name, one in (predictor.importance(names) or {}).items()}
            assert gains.get(CONSTANT, 0.0) <= 1e-3 * sum(gains.values()), (
                f"importance: feature {place} of {len(names)} never differs"
            )
