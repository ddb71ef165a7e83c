"""Requests wait for another system; options ``seconds``, and ``every``: of how many requests one waits (all)."""

import time
from itertools import count
from typing import Any

import numpy as np

from ml_platform.features.build import featurize
from ml_platform.serving.answer import contents
from ml_platform.serving.service import service

OPTIONS = contents().config.options
REQUESTS = count(1)


def waiting(*arguments: Any) -> np.ndarray:
    """The sound matrix, late."""
    if next(REQUESTS) % OPTIONS.get("every", 1) == 0:
        time.sleep(OPTIONS["seconds"])
    return featurize(*arguments)


Service = service(featurize=waiting)
