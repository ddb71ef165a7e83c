"""The undocumented parts of XGBoost's Python package that the platform uses; no other module uses any."""

import ctypes
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_platform.foundation.internals import internals_of

if TYPE_CHECKING:
    import numpy as np
    import xgboost

VERSIONS = "~=3.2"


def in_place(booster: "xgboost.Booster") -> "Callable[[np.ndarray], np.ndarray]":
    """``booster.inplace_predict`` of C-ordered float32 (rows, features), to the last bit, in half its time for one row.

    By the same function of XGBoost's documented C interface (XGBoosterPredictFromDense): around it the package looks in
    each call which of many kinds of table it was given, and writes the same description of what is asked for. NaN is
    missing. The number of features is not checked. Any number of threads may predict at one time. Raises PlatformError
    where XGBoost is a version that was not tested.
    """
    import numpy as np

    with internals_of("xgboost", VERSIONS):
        from xgboost.core import _LIB as library  # pyright: ignore[reportPrivateUsage]
        from xgboost.core import _check_call as check  # pyright: ignore[reportPrivateUsage]

        predict = library.XGBoosterPredictFromDense
    # No range of rounds is all of them.
    asked = {"type": 0, "training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False}
    options = json.dumps({**asked, "missing": math.nan, "cache_id": 0}).encode()
    nothing = ctypes.c_void_p()

    def predicted(matrix: "np.ndarray") -> "np.ndarray":
        rows, columns = matrix.shape
        if not rows:
            return booster.inplace_predict(matrix)
        # NumPy's array interface, as JSON.
        place = matrix.__array_interface__["data"][0]
        given = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (place, rows, columns)
        shape, sizes = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        values = ctypes.POINTER(ctypes.c_float)()
        check(
            predict(
                booster.handle, given, options, nothing, ctypes.byref(shape), ctypes.byref(sizes), ctypes.byref(values)
            )
        )
        # What it gives belongs to the booster, and lasts until this thread predicts again.
        result = np.empty(tuple(shape[: sizes.value]), dtype=np.float32)
        ctypes.memmove(result.__array_interface__["data"][0], values, result.nbytes)
        return result

    return predicted
