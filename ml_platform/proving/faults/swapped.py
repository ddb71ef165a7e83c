"""Two columns of the matrix change places; option ``columns``: their two positions."""

from typing import Any

import numpy as np

from ml_platform.features.build import featurize
from ml_platform.serving.answer import contents
from ml_platform.serving.service import service

LEFT, RIGHT = contents().config.options["columns"]


def swapped(*arguments: Any) -> np.ndarray:
    """The sound matrix with the two columns exchanged."""
    matrix = featurize(*arguments)
    matrix[:, [LEFT, RIGHT]] = matrix[:, [RIGHT, LEFT]]
    return matrix


Service = service(featurize=swapped)
