"""Estimators of scikit-learn, read by skops: no pickle, and no type that was not recorded when the file was written."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self
from zipfile import BadZipFile

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import Importance, check_width, thread_count

if TYPE_CHECKING:
    import numpy as np


def unknown_types(file: Path, recorded: Iterable[str]) -> list[str]:
    """Types in a file that skops does not trust by itself and that are not among the recorded ones."""
    from skops.io import get_untrusted_types

    return sorted(set(get_untrusted_types(file=file)) - set(recorded))


class Sklearn:
    """A fitted classifier or regressor, alone or behind preprocessing in a pipeline."""

    suffix: ClassVar[str] = "skops"
    packages: ClassVar[tuple[tuple[str, ...], ...]] = (("scikit-learn",), ("skops",))
    unused: ClassVar[tuple[str, ...]] = ()

    def __init__(self, estimator: Any, threads: int) -> None:
        self.estimator = estimator
        self.width = int(estimator.n_features_in_)
        self._threads = threads
        self._classifies = hasattr(estimator, "classes_")
        self._binary = self._classifies and len(estimator.classes_) == 2

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: Sequence[str] = ()) -> Self:
        """An estimator from its file. Raises PlatformError that names every type that was not recorded."""
        from skops.io import load
        from skops.io.exceptions import UnsupportedTypeException, UntrustedTypesFoundException

        try:
            if unknown := unknown_types(file, types):
                raise PlatformError(
                    f"model {file} holds types that were not recorded when it was trained: {', '.join(unknown)}; "
                    "it is not loaded: train it again; a trainer of one's own returns them as Trained.types"
                )
            estimator = load(file, trusted=list(types))
        except (BadZipFile, UnsupportedTypeException, UntrustedTypesFoundException, KeyError, ValueError) as error:
            raise PlatformError(
                f"model {file} is not an estimator of scikit-learn in the format of skops ({error}); "
                "train or download it again"
            ) from error
        if not hasattr(estimator, "predict") or not hasattr(estimator, "n_features_in_"):
            raise PlatformError(f"model {file} holds a {type(estimator).__name__}, no fitted estimator; train it again")
        return cls(estimator, thread_count(threads))

    def predict(self, matrix: "np.ndarray") -> "np.ndarray":
        """The probability of the second class of two, those of each class of several, else the value."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        check_width(self.width, matrix)
        if not len(matrix):
            # Estimators refuse to predict nothing.
            several = self._classifies and not self._binary
            return np.empty((0, len(self.estimator.classes_)) if several else 0, np.float32)
        # Sums of float32 differ with the number of rows that are multiplied at once; rounded from float64 they do not.
        matrix = matrix.astype(np.float64)
        with threadpool_limits(limits=self._threads):
            if not self._classifies:
                found = self.estimator.predict(matrix)
            else:
                found = self.estimator.predict_proba(matrix)
                found = found[:, 1] if self._binary else found
        return np.ascontiguousarray(found, dtype=np.float32)

    def contributions(self, matrix: "np.ndarray") -> "np.ndarray | None":
        """SHAP values of a linear model, exact for independent features: weight x distance from the mean (Lundberg and
        Lee 2017, corollary 1).

        The mean is that of the given rows. None for other estimators, and behind preprocessing that mixes features.
        """
        import numpy as np

        final, before = self._parts()
        weights = getattr(final, "coef_", None)
        if weights is None or not self._one_to_one(before):
            return None
        values = matrix.astype(np.float64)
        if before is not None:
            values = np.asarray(before.transform(values))
        centred = values - values.mean(axis=0)
        weights = np.atleast_2d(np.asarray(weights, np.float64))
        if len(weights) == 1:
            return centred * weights[0]
        return centred[:, None, :] * weights[None, :, :]

    @property
    def contributions_unit(self) -> str:
        """The logarithm of the target where a generalized linear model has that link; empty where it is the task's."""
        final, _ = self._parts()
        name, link = type(final).__name__, getattr(final, "link", "")
        tweedie = name == "TweedieRegressor" and (link == "log" or (link == "auto" and final.power > 0))
        return "log of the target" if tweedie or name in ("PoissonRegressor", "GammaRegressor") else ""

    def importance(self, names: Sequence[str]) -> dict[str, Importance] | None:
        """None: estimators of scikit-learn have no measure in common."""
        return None

    def _parts(self) -> tuple[Any, Any]:
        """The last step of a pipeline and what goes before; of a lone estimator itself and None."""
        from sklearn.pipeline import Pipeline

        if not isinstance(self.estimator, Pipeline):
            return self.estimator, None
        return self.estimator[-1], self.estimator[:-1] if len(self.estimator) > 1 else None

    def _one_to_one(self, before: Any) -> bool:
        """Whether each feature behind the preprocessing is one before it, at the same index."""
        if before is None:
            return True
        names = [f"x{index}" for index in range(self.width)]
        try:
            return list(before.get_feature_names_out(names)) == names
        except (AttributeError, ValueError):
            return False
