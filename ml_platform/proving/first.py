"""Thresholds for a model that is new: what the last windows of the data that is there propose."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.proof import Proof
from ml_platform.proving.scratch import require_time, usable
from ml_platform.proving.suggest import FEWEST, Suggestion, suggestions
from ml_platform.proving.windows import Window, first_window, run_windows

#: Kinds that bound how good a model may be: one of fewer rows than it will have says nothing about that.
BOUNDING = ("leak_alarm", "jump")


def first_thresholds(
    context: ModelContext, workspace: Workspace, folder: Path, told: Callable[[str], None] = lambda _: None
) -> tuple[list[Suggestion], list[Window]]:
    """One suggestion for each gate of the model, and the windows behind them; ``folder`` is removed by the caller.

    They end with the newest partitions at the source, no more than :data:`FEWEST` windows need.
    Raises PlatformError where there are fewer than :data:`FEWEST` windows, and what the steps and the user's source
    raise.
    """
    require_time(context, "suggest")
    rule = context.model.split
    most = max(2 * FEWEST - 1, 2 * rule.back(context.dataset.partitions) + FEWEST - 1)
    every = usable(context.dataset, workspace)
    there = every[-most:]
    if len(there) - first_window(context, there) + 1 < FEWEST:
        raise PlatformError(
            f"{len(there)} partitions at the source of {context.dataset.name} are too few for {FEWEST} windows of the "
            "past"
        )
    proof = Proof(context, workspace, folder, most)
    windows = run_windows(proof, folder / "kept", told)
    found = suggestions(proof.context, proof.clean.judged, workspace.now().date())
    fewer = len(there) < len(every)
    return [_bounded(one) if fewer else one for one in found if one.owner == context.model.name], windows


def _bounded(one: Suggestion) -> Suggestion:
    if one.declared.gate not in BOUNDING:
        return one
    return replace(one, proposed=one.declared, reason="kept: a model of all rows may be better")
