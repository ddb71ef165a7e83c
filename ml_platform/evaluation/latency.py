"""How long a model takes for one row, as little as possible disturbed by the machine it is measured on."""

import time
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.predictor import Predictor

if TYPE_CHECKING:
    import numpy as np

#: Rows that are timed: five of them lie above the 99th percentile.
ROWS = 500
#: How often each is predicted.
REPEATS = 5
#: Predictions before the clock runs.
WARM_UP = 100


class OneRow(NamedTuple):
    """Milliseconds of predicting single rows."""

    rows: int
    p50: float
    p95: float
    p99: float
    max: float


def one_row(predictor: Predictor, features: "np.ndarray") -> OneRow:
    """Time the prediction of each row of ``features`` (rows x features) by itself, by the call that the service makes.

    The fastest of :data:`REPEATS` goes for each row, as ``timeit`` recommends: on a busy machine every twentieth
    prediction waits for the processor, a hundred times as long as it takes. What differs between rows stays. The
    threads are those of the model. Raises PlatformError where there is no row.
    """
    import numpy as np

    if not len(features):
        raise PlatformError("latency of the model: there is no row to predict")
    single = [features[row : row + 1] for row in range(min(len(features), ROWS))]
    for number in range(WARM_UP):
        predictor.predict(single[number % len(single)])
    seconds = np.empty((REPEATS, len(single)))
    for repeat in range(REPEATS):
        for index, row in enumerate(single):
            began = time.perf_counter()
            predictor.predict(row)
            seconds[repeat, index] = time.perf_counter() - began
    p50, p95, p99, longest = np.percentile(seconds.min(axis=0) * 1000, [50, 95, 99, 100])
    return OneRow(len(single), float(p50), float(p95), float(p99), float(longest))
