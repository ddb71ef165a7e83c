"""Windows of the past: after each partition the model that the loop would have made then, and what its gates say.

A window is all partitions up to one, divided as the model declares. The model of the window before is the champion,
whatever its gates said: what an honest candidate is compared with does not hang on the thresholds that are judged.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.locks import locked
from ml_platform.gates.gate import Verdict
from ml_platform.pipeline import evaluation, inspections, recorded_trainings, refit, training
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.proof import Proof
from ml_platform.proving.scratch import require_time, scratch_settings
from ml_platform.proving.substitutes import OneChampion
from ml_platform.references.refs import ModelRef

#: Folder of the trainings that are kept, below ``.local``.
KEPT = "windows"


@dataclass(frozen=True)
class Window:
    """One window and the model that was made in it."""

    #: Its last partition, by which the verdicts on it are known.
    last: str
    train: tuple[str, ...]
    holdout: tuple[str, ...]
    #: sha256 of the model file.
    sha256: str

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def first_window(context: ModelContext, partitions: list[str]) -> int:
    """Partitions of the first window: half of all, and no fewer than twice what a split holds back, so that there is as
    much to learn from."""
    require_time(context, "a window of the past")
    rule = context.model.split
    return min(len(partitions), max((len(partitions) + 1) // 2, 2 * rule.back(context.dataset.partitions)))


def run_windows(proof: Proof, kept: Path, told: Callable[[str], None] = lambda _: None) -> list[Window]:
    """Every clean partition in order, as :meth:`~ml_platform.proving.proof.Proof.run_data`, and a model after each of
    the later half; the verdicts on it are kept under the last partition of its window.

    Trainings are kept below ``kept``: an equal one is adopted, so that a run that ended early goes on from there, and
    other thresholds cost no training. ``told`` gets a line after each window. Raises Locked where another process
    works there, PlatformError as the steps do.
    """
    first, windows = first_window(proof.context, proof.clean.partitions), []
    champion: ModelRef | None = None
    with locked(kept / "windows.lock", 0, "windows"):
        tracking = Workspace(scratch_settings(proof.workspace.settings, kept)).tracking
        for place, name in enumerate(proof.clean.partitions, 1):
            proof.arrive(name)
            if place < first:
                continue
            workspace = proof.workspace.with_(tracking=tracking, registry=OneChampion(champion))
            window, champion, verdicts = _window(proof, workspace, name)
            windows.append(window)
            alarms = [verdict.gate for verdict in verdicts if not verdict.passed]
            told(f"{window.train[0]} to {name}: {', '.join(alarms) or 'no alarm'}")
    return windows


def windows_of(
    context: ModelContext,
    workspace: Workspace,
    folder: Path,
    most: int,
    told: Callable[[str], None] = lambda _: None,
    rounds: int = 0,
) -> tuple[Proof, list[Window]]:
    """:func:`run_windows` on the newest ``most`` partitions of a model's source, at most ``rounds`` rounds (0: all).

    ``folder`` is the scratch folder, which the caller removes; trainings are kept below the project's ``.local``.
    """
    proof = Proof(context, workspace, folder, most, rounds)
    return proof, run_windows(proof, workspace.settings.local / KEPT, told)


def _window(proof: Proof, workspace: Workspace, last: str) -> tuple[Window, ModelRef, list[Verdict]]:
    """Split, train, evaluate and judge, with the partitions that are there."""
    context, run = proof.context, proof.run
    split = training.split(workspace, context, proof.clean.features, run)
    verdicts = training.inspect_split(workspace, context, split, run)
    proof.keep("split", last, verdicts)
    # A training that is adopted names commits of the store that it was made on; the content is the same in this one.
    kept = training.fit(workspace, context, split, run, known=lambda _: True).model_copy(update={"split": split})
    recorded_trainings.note(workspace, kept, run)
    report = evaluation.evaluate(workspace, context, kept, run)
    judged = inspections.inspect_evaluation(workspace, context, report, run)
    proof.keep("evaluation", last, judged)
    if context.model.split.refit:
        refitted = refit.refit(workspace, context, report, run)
        of_refit = inspections.inspect_refit(workspace, context, refitted, run)
        proof.keep("refit", last, of_refit)
        judged = [*judged, *of_refit]
    train, holdout = (tuple(entry.partition for entry in part) for part in (split.train, split.holdout))
    return Window(last, train, holdout, kept.sha256), kept, [*verdicts, *judged]
