"""What may be wrong with a version that answers: option ``fault``, with its ``number``; without one it is sound.

``fails``: share of requests that end in an error; ``slow``: seconds that each takes longer; ``shifted``: how far each
prediction is moved (probabilities towards the last class by that share); ``hangs``, ``silent``, ``dies``: from so many
requests on the process hangs, answers its health only, ends; ``unready``: it never gets ready.
"""

import os
import time
from itertools import count
from typing import Any

import numpy as np

from ml_platform.features.build import featurize
from ml_platform.models.predictor import load_predictor
from ml_platform.serving.answer import contents
from ml_platform.serving.service import service

OPTIONS = contents().config.options
FAULT, NUMBER = OPTIONS.get("fault", ""), OPTIONS.get("number", 0)
FOREVER = 3600.0
#: The first one is that of the example row, before the process is ready.
REQUESTS = count(0)


def broken(*arguments: Any) -> np.ndarray:
    """The sound matrix, where the fault lets it be."""
    request = next(REQUESTS)
    if FAULT == "unready":
        time.sleep(FOREVER)
    if request:
        if FAULT == "fails" and int(request * NUMBER) > int((request - 1) * NUMBER):
            raise RuntimeError(f"request {request} fails, as some do here")
        if FAULT == "slow":
            time.sleep(NUMBER)
        if FAULT == "hangs" and request > NUMBER:
            time.sleep(FOREVER)
        if FAULT == "dies" and request > NUMBER:
            os._exit(3)
    return featurize(*arguments)


class Shifted:
    """A predictor whose predictions are moved."""

    def __init__(self, sound: Any) -> None:
        self.sound, self.width = sound, sound.width

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """The sound predictions, each moved."""
        predictions = self.sound.predict(matrix)
        if contents().task.output == "value":
            return (predictions + NUMBER).astype(predictions.dtype)
        towards = np.zeros_like(predictions)
        towards[..., -1 if predictions.ndim > 1 else slice(None)] = 1
        return ((1 - NUMBER) * predictions + NUMBER * towards).astype(predictions.dtype)


def loaded(*arguments: Any) -> Any:
    """The sound predictor, or one that moves what it says."""
    sound = load_predictor(*arguments)
    return Shifted(sound) if FAULT == "shifted" else sound


class Silent:
    """ASGI: predictions that are never answered, from a number of requests on."""

    def __init__(self, app: Any) -> None:
        self.app, self.asked = app, count(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and next(self.asked) > NUMBER:
            import asyncio

            await asyncio.sleep(FOREVER)
        await self.app(scope, receive, send)


Service = service(featurize=broken, load=loaded)
if FAULT == "silent":
    Service.add_asgi_middleware(Silent)
