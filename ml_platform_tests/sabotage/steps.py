"""Steps of the loop that somebody has changed, for the runs of one test."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ml_platform.pipeline import workspace
from ml_platform.pipeline.steps import Steps


def exchange(patch: pytest.MonkeyPatch, step: str, breaks: Callable[[Any], Any]) -> None:
    """Every workspace that is opened from now on has the step that ``breaks`` makes of the sound one."""
    patch.setattr(workspace, "Steps", partial(Steps, **{step: breaks(getattr(Steps(), step))}))
