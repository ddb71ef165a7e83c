"""Drift of raw inputs: the newest partitions against those that the registered version was trained on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_platform.datasets import batches
from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import folder
from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.live.rules import DriftRule
from ml_platform.pipeline import champions, trained
from ml_platform.pipeline.features import materializer_of
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, VersionRef
from ml_platform.sources.partitions import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from ml_platform.documents.drift_report import DriftSummary

#: Kind of the entries in the ledger with what was seen.
KIND = "drift"
#: Rows drawn of each partition of the reference: PSI of deciles needs no more.
REFERENCE_ROWS = 20_000
#: Share of distinct values above which a column of the key is an identifier.
IDENTIFYING = 0.5


@dataclass(frozen=True)
class Drift:
    """What a look at the newest partitions found."""

    #: Names what was compared: version and content. The same key need not be looked at twice.
    key: str
    version: int
    drifted: bool
    text: str
    #: Partition to share of drifted columns.
    shares: dict[str, float]
    #: Column to PSI for the newest partition, largest first.
    columns: dict[str, float]


def observe(workspace: Workspace, context: ModelContext, known: str = "") -> Drift | None:
    """Compare the newest partitions with the training data of the champion; ``None`` where ``known`` names it.

    Only partitions after the newest that the champion was trained on are compared: its own training data would
    water the finding down. Raises MissingReference where no version is registered or there is no such partition.
    """
    import polars as pl

    from ml_platform.validation.drift import drifted_columns

    rule, name = context.model.drift, context.model.name
    assert rule is not None
    version = champions.champion(workspace, name) or workspace.registry.latest(name)
    if version is None:
        raise MissingReference(f"no version of {name} is registered; drift is compared with its training data")
    train = version.model_ref.split.train
    published = batches.published(workspace.store, context.dataset.name)
    if context.dataset.partitions.timed:
        newest = sorted(partition for partition in published if partition > train[-1].partition)[-rule.window :]
    else:
        learned = train[-1].inputs[f"{context.dataset.name}/{WHOLE}"]
        newest = [name for name, info in published.items() if info.sha256 != learned]
    if not newest:
        raise MissingReference(
            f"nothing is published after {train[-1].partition}, the newest that version {version.version} learned from"
        )
    content = {partition: published[partition].sha256 for partition in newest}
    key = sha256_bytes(canonical_json([version.version, rule.model_dump(), content]))[:16]
    if key == known:
        return None
    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    reference = pl.concat(
        frame.gather_every(max(1, frame.height // REFERENCE_ROWS))
        for frame in (materializer.raw_at(entry).select(context.function.inputs) for entry in train)
    )
    columns = compared_columns(reference, context.function, context.model.split.group)
    found = {part: drifted_columns(reference, materializer.raw(part).select(columns), columns) for part in newest}
    shares = {part: sum(value > rule.psi for value in values.values()) / len(values) for part, values in found.items()}
    over = [part for part, share in shares.items() if share > rule.share]
    latest = found[newest[-1]]
    drifted = len(over) >= (rule.partitions if context.dataset.partitions.timed else 1)
    text = _text(rule, version.version, shares, over, latest, drifted)
    return Drift(key, version.version, drifted, text, shares, latest)


def look(workspace: Workspace, context: ModelContext) -> str:
    """:func:`observe` where there is something new to see, noted in the ledger; what is to be said of it.

    Raises as that does.
    """
    name = context.model.name
    before = seen(workspace, name)
    found = observe(workspace, context, known=before["key"] if before else "")
    if found is None:
        assert before is not None
        return f"{before['text']} (as seen before)"
    run = Run(id="sensor")
    body: dict[str, Any] = {
        "key": found.key,
        "version": found.version,
        "drifted": {"inputs": found.text} if found.drifted else {},
        "text": found.text,
        "shares": found.shares,
    }
    workspace.ledger.decide(
        KIND, subject=found.key, subject_name=f"{name}/{KIND}", body=body, run_id=run.id, provenance=run.provenance
    )
    return found.text


def seen(workspace: Workspace, model: str) -> dict[str, Any] | None:
    """What was seen last of a model: ``key``, ``version``, ``drifted`` (kind to a sentence), ``text``."""
    entries = workspace.ledger.entries(subject_name=f"{model}/{KIND}", kind=KIND, newest=1)
    return entries[0].body if entries else None


def write_report(workspace: Workspace, context: ModelContext, version: VersionRef) -> "tuple[Path, DriftSummary]":
    """Evidently's report on the raw inputs of a version: its holdout against what it was trained on, by samples.

    Columns marked ``pii`` are left out: the report shows values. Of the version's reference only its number counts.
    Raises PlatformError where its model's reference was edited.
    """
    import polars as pl

    from ml_platform.documents.drift_report import ROWS, write
    from ml_platform.features import parts

    version = workspace.registry.get(version.model, version.version)
    trained.require_known(workspace, version.model_ref)
    split = version.model_ref.split
    materializer = materializer_of(workspace, context.feature_set, context.dataset)

    def drawn(entries: tuple[ManifestEntry, ...]) -> "pl.DataFrame":
        rows = sum(entry.rows for entry in entries)
        # Each partition by its share; rounding down keeps the sum within the limit.
        return pl.concat(
            frame.sample(min(frame.height, ROWS // 2 * frame.height // rows), seed=0)
            for frame in (raw_of(entry).select(context.function.inputs) for entry in entries)
        )

    def raw_of(entry: ManifestEntry) -> "pl.DataFrame":
        return parts.of(materializer.raw_at(entry), entry.part)

    reference, current = drawn(split.train), drawn(split.holdout)
    private = context.dataset.private()
    compared = compared_columns(reference, context.function, context.model.split.group)
    columns = [name for name in compared if name not in private]
    path = folder(workspace.settings) / f"{context.model.name}-drift-{version.sha256[:16]}.html"
    return path, write(reference.select(columns), current.select(columns), path)


def compared_columns(reference: "pl.DataFrame", function: FeatureFunction, group: tuple[str, ...] = ()) -> list[str]:
    """Inputs that can drift: not the day, no column of the ``group`` that a split keeps together, and no part of the
    key that names nearly every row by itself."""

    def names_rows(column: str) -> bool:
        return reference[column].n_unique() > IDENTIFYING * max(reference.height, 1)

    return [
        name
        for name in function.inputs
        if name not in (function.time, *group) and not (name in function.key and names_rows(name))
    ]


def _text(
    rule: DriftRule, version: int, shares: dict[str, float], over: list[str], latest: dict[str, float], drifted: bool
) -> str:
    newest = max(shares)
    worst = ", ".join(f"{column} {value:.2f}" for column, value in list(latest.items())[:4])
    return (
        f"{'drift' if drifted else 'no drift'}: {len(over)} of the {len(shares)} newest partitions "
        f"({', '.join(over) or 'none'}) drifted from what version {version} learned from, {rule.partitions} of "
        f"{rule.window} count; in {newest} {shares[newest]:.0%} of {len(latest)} inputs are beyond PSI {rule.psi:g} "
        f"({rule.share:.0%} allowed), largest: {worst}"
    )
