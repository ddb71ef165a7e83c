"""``ml-platform prove --rollout``: a live candidate breaks under load, and which rule sends it back."""

import signal
import sys
import tempfile
from pathlib import Path

from ml_platform.cli import screen
from ml_platform.cli.output import declared_model, written
from ml_platform.cli.services import rows_of
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.rollouts import Proved, RolloutProof
from ml_platform.proving.users import CLIENTS

#: Rows of the newest partition that are asked for again and again.
ROWS = 200


def prove_rollout(model: str, json: Path | None) -> int:
    """Print what became of each candidate; 1 where a broken one was not sent back by its rule, or a sound one was."""
    console, workspace = screen.console(), Workspace()
    context = ModelContext.of(project_catalogue(), declared_model(model))
    rows = rows_of(workspace, context, "", ROWS)
    table = screen.table(
        "candidate", "outcome", "after requests", "seconds", "users saw fail", "its answers", "longest wait", "why"
    )
    # Whoever ends this ends the processes that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="ml-platform-rollout-") as folder:
        proof = RolloutProof(workspace.settings, model, context.model.rollout, rows, Path(folder))
        shares = [f"{step.weight} % ({step.shadow} % copied)" for step in proof.plan.steps]
        steps = ", ".join([*shares, f"all requests, watched for {proof.plan.watch:g} s"])
        console.print(
            f"{model}: {proof.live.said} in a scratch folder, {CLIENTS} clients, {len(rows)} rows of its data; "
            f"steps: {steps}",
            highlight=False,
        )
        found = proof.run(told=lambda one: console.print(f"{one.name}: {one.outcome}: {one.why}", highlight=False))
    for one in found:
        table.add_row(*_cells(one))
    console.print(table)
    wrong = [one.name for one in found if not one.right]
    failed = sum(sum(one.failed.values()) for one in found)
    console.print(
        f"{len(found)} candidates, {failed} failed answers; not as it should be: {', '.join(wrong) or 'none'}",
        highlight=False,
    )
    written(json, {"model": model, "candidates": [vars(one) for one in found], "wrong": wrong, "failed": failed})
    return 1 if wrong else 0


def _cells(one: Proved) -> list[str]:
    failed = ", ".join(f"{times} ({seen})" for seen, times in one.failed.items()) or "0"
    outcome = one.outcome if one.right else f"{one.outcome or 'nothing'} (WRONG)"
    return [
        one.name,
        outcome,
        str(one.requests),
        f"{one.seconds:.1f}",
        failed,
        str(one.by_candidate),
        f"{one.longest:.1f} s",
        one.why[:160],
    ]
