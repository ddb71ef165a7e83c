"""Workspaces that exist for a proof only: temporary, on the defaults of one machine, filled by the loop's own steps."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import Stage
from ml_platform.pipeline.workspace import Ports, Workspace
from ml_platform.proving.substitutes import FrameSource
from ml_platform.references.refs import DatasetRef
from ml_platform.sources.partitions import WHOLE, Partitions
from ml_platform.training.split import SplitRule

if TYPE_CHECKING:
    import polars as pl

#: Who lets alarms on clean data pass, in the scratch ledger only.
ACTOR = "ml-platform prove"
LEDGER = "ledger.db"
#: Content-addressed files: never changed, so a copy may share them.
SHARED = "cas"


@dataclass(frozen=True)
class Judged:
    """A verdict on clean content."""

    stage: Stage
    partition: str
    verdict: Verdict


@dataclass
class Clean:
    """What clean data gave: the states that breaks start from."""

    #: All partitions in order; the newest is the one that is broken.
    partitions: list[str]
    #: The declarations, from the first clean partition on.
    context: ModelContext
    frames: "dict[str, pl.DataFrame]"
    #: Features of every partition.
    features: dict[str, DatasetRef] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)

    @property
    def newest(self) -> str:
        """The partition that arrives broken."""
        return self.partitions[-1]

    def alarms(self, stage: Stage, partition: str = "") -> frozenset[str]:
        """Gates that hold back clean content too; that they fail on a break says nothing."""
        return frozenset(
            one.verdict.gate
            for one in self.judged
            if (one.stage, one.partition) == (stage, partition) and one.verdict.blocking and not one.verdict.passed
        )


def scratch_settings(settings: Settings, folder: Path) -> Settings:
    """The user's settings with every store, ledger and registry below ``folder``."""
    return settings.model_copy(
        update={
            "local": folder,
            "store": "embedded",
            "adapters": "",
            "ledger_url": SecretStr(""),
            "ledger_key": SecretStr(""),
            "mlflow_tracking_uri": SecretStr(""),
            "approval": "automatic",
            "environment": "proof",
            "actor": ACTOR,
            "api_key_sha256": "",
            "secret_key": SecretStr(""),
        }
    )


def usable(dataset: DatasetSpec, workspace: Workspace) -> list[str]:
    """Partitions that the source has, in order, of those that are declared and have ended."""
    there = workspace.source(dataset).partitions()
    return [name for name in dataset.partitions.keys(workspace.now()) if name in there]


def require_time(context: ModelContext, what: str) -> None:
    """Raise PlatformError, naming ``what`` cannot be done, for a dataset without partitions: it has no past."""
    if not context.dataset.partitions.timed:
        raise PlatformError(
            f"{what} compares one time with another, and {context.dataset.name} has `partitions: none`; "
            f"ml-platform prove --model {context.model.name} shows what each gate catches"
        )


def usual(rule: SplitRule, partitions: Partitions) -> int:
    """How many partitions a proof takes where nobody says: a year of months, or enough for three windows that learn
    from as many as they hold back."""
    return max(12, 2 * rule.back(partitions) + 2)


def clean_data(context: ModelContext, workspace: Workspace, most: int) -> Clean:
    """The newest ``most`` partitions of the model's source (0: :func:`usual`), and any before them that a gate names as
    reference.

    Raises PlatformError where there are too few for a split.
    """
    dataset, rule = context.dataset, context.model.split
    source, there = workspace.source(dataset), usable(dataset, workspace)
    chosen = there[-(most or usual(rule, dataset.partitions)) :] if dataset.partitions.timed else there
    named = [name for gate in dataset.gates for name in gate.reference or () if name in there]
    chosen = there[there.index(min([*named, *chosen[:1]])) :] if chosen else []
    if not dataset.partitions.timed:
        if not chosen:
            raise PlatformError(f"prove: the source of {dataset.name} has nothing; deliver its table first")
        return Clean(chosen, context, {WHOLE: source.read(WHOLE)})
    needed = rule.back(dataset.partitions) + 1
    if len(chosen) < max(needed, 3):
        asked = "ask for more with --partitions" if len(there) >= max(needed, 3) else "deliver more"
        raise PlatformError(
            f"prove: of {len(there)} usable partitions at the source of {dataset.name} {len(chosen)} are taken, and "
            f"the proof of {context.model.name} needs {max(needed, 3)}; {asked}"
        )
    frames = {name: source.read(name) for name in chosen}
    starting = dataset.partitions.model_copy(update={"start": dataset.partitions.window(chosen[0])[0]})
    scratch = dataset.model_copy(update={"partitions": starting})
    # A partition that raises an alarm is let through by an override, so the split finds every partition.
    return Clean(chosen, ModelContext(context.model, context.feature_set, scratch), frames)


def delivering(workspace: Workspace, frames: "dict[str, pl.DataFrame]") -> Workspace:
    """The workspace with these batches at the source."""
    return workspace.with_(source=lambda _: FrameSource(frames))


def copied(source: Workspace, folder: Path, services: Workspace | None = None) -> Workspace:
    """A workspace of its own in the state of ``source``: datasets, features and ledger.

    With ``services`` it shares MLflow and the registry with that one. Raises OSError where the disk is full.
    """
    settings = source.settings.model_copy(update={"local": folder})
    store = source.settings.local / "store"
    folder.mkdir(parents=True)

    def duplicate(path: str, target: str) -> None:
        if f"{os.sep}{SHARED}{os.sep}" in path.removeprefix(str(store)):
            os.link(path, target)
        else:
            shutil.copy2(path, target)

    shutil.copytree(store, folder / "store", copy_function=duplicate)
    with (
        closing(sqlite3.connect(source.settings.local / LEDGER)) as held,
        closing(sqlite3.connect(folder / LEDGER)) as target,
    ):
        held.backup(target)
    kept = {name: getattr(source, name) for name in ("source", "function", "feature_codes", "now", "steps")}
    if services is not None:
        kept |= {"tracking": services.tracking, "registry": services.registry}
    # Versions in the shared registry note the head of the other one's ledger.
    ports = Ports(anchors=lambda _: ()) if services is not None else Ports()
    return Workspace(settings, ports).with_(**kept)


def let_through(workspace: Workspace, verdicts: list[Verdict], run: Run) -> None:
    """Override what holds clean content back, in the scratch ledger, so that later stages can be proved as well."""
    for verdict in verdicts:
        if verdict.holds_back:
            workspace.ledger.override(
                verdict,
                by=ACTOR,
                reason="an alarm on clean data; the proof goes on behind it",
                days=1,
                run_id=run.id,
                provenance=run.provenance,
            )
