"""Evidence that is made only where a gate asks for it, since it costs something: a time, a training, a started service.

A kind names what it asks for (``kind(…, asks=("rows",))``), and its function is given it by that name, beside the
evidence of the stage.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.stages import Stage

#: Name of evidence to what makes it; called when the first gate asks.
Asked = Mapping[str, Callable[[], object]]
#: By stage, what kinds of it may ask for: name, and class of what they are given.
OFFERED: dict[Stage, dict[str, str]] = {
    "split": {"gaps": "ml_platform.evaluation.expectation:Gaps"},
    "evaluation": {
        "rows": "ml_platform.evaluation.evaluation:HoldoutRows",
        "one_row": "ml_platform.evaluation.latency:OneRow",
        "replay": "ml_platform.gates.replay:Replay",
        "first_trees": "ml_platform.training.first_trees:FirstTrees",
    },
    "refit": {
        "one_row": "ml_platform.evaluation.latency:OneRow",
        "replay": "ml_platform.gates.replay:Replay",
        "first_trees": "ml_platform.training.first_trees:FirstTrees",
    },
    "service": {"running": "ml_platform.gates.service:RunningService"},
}


def taken(gate: str, names: tuple[str, ...], asked: Asked) -> dict[str, Any]:
    """What a gate asked for, by name. Raises PlatformError for what nobody can give, and whatever making it raises."""
    if missing := [name for name in names if name not in asked]:
        raise PlatformError(f"gate {gate}: nothing gives the evidence {', '.join(missing)} that it asks for")
    return {name: asked[name]() for name in names}
