"""Drift of new partitions from what the registered version learned: raw inputs, outputs, and outcomes beside what it
leads one to expect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_platform.datasets import batches
from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import folder
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import DRIFT
from ml_platform.live.drift_rule import DriftRule
from ml_platform.live.retraining import Kind
from ml_platform.pipeline import champions, expecting, recorded_trainings
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, VersionRef
from ml_platform.sources.partitions import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from ml_platform.documents.drift_report import DriftSummary
    from ml_platform.evaluation.expectation import Gap

#: Gaps of a partition that are told.
TOLD = 3


@dataclass
class Drift:
    """What a look at the newest partitions found."""

    #: Names what was compared: version and content. The same key need not be looked at twice.
    key: str
    version: int
    #: What drifted (``inputs``, ``outputs``, ``outcomes``), with a sentence each.
    drifted: dict[str, str] = field(default_factory=dict)
    #: A sentence on everything that was looked at.
    said: list[str] = field(default_factory=list)
    #: Partition to share of drifted columns; empty where no rule on inputs is declared.
    shares: dict[str, float] = field(default_factory=dict)
    #: Column to PSI for the newest partition, largest first.
    columns: dict[str, float] = field(default_factory=dict)
    #: Partition to the PSI of its outputs, of several classes the largest.
    outputs: dict[str, float] = field(default_factory=dict)
    #: Partition to its outcomes beside what was expected; to a sentence where nobody expected them.
    outcomes: "dict[str, list[Gap]]" = field(default_factory=dict)
    unexpected: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> list[dict[str, Any]]:
        """Outcomes beside expectations, a record for each partition and slice, the furthest first."""
        from ml_platform.evaluation.expectation import table

        return [row for partition, gaps in self.outcomes.items() for row in table(partition, gaps)]

    @property
    def text(self) -> str:
        """What is to be said of it."""
        return "; ".join(self.said)

    def tell(self, kind: Kind, text: str, drifted: bool) -> None:
        """Note what was seen of a kind, and whether it drifted."""
        self.said.append(text)
        if drifted:
            self.drifted[kind] = text


def observe(workspace: Workspace, context: ModelContext, known: str = "") -> Drift | None:
    """Compare the newest partitions with what the champion learned; ``None`` where ``known`` names it.

    Only partitions after the newest that the champion was trained on are compared: its own training data would
    water the finding down. Inputs are compared with that training data and outputs with those for the holdout, where
    the model declares `drift`; outcomes always, with what the champion leads one to expect. Of a refit, outputs and
    expectations are those of the judged model, which did not learn from its holdout. Raises MissingReference where no
    version is registered or there is no such partition.
    """
    rule, name = context.model.drift or DriftRule(), context.model.name
    version = champions.champion(workspace, name) or workspace.registry.latest(name)
    if version is None:
        raise MissingReference(f"no version of {name} is registered; drift is compared with its training data")
    train = version.model_ref.split.train
    published = published_batches(workspace, context.dataset.name)
    if context.dataset.partitions.timed:
        newest = sorted(partition for partition in published if partition > train[-1].partition)[-rule.window :]
    else:
        learned = train[-1].inputs[f"{context.dataset.name}/{WHOLE}"]
        newest = [name for name, info in published.items() if info.sha256 != learned]
    if not newest:
        raise MissingReference(
            f"nothing is published after {train[-1].partition}, the newest that version {version.version} learned from"
        )
    features = expecting.current_features(workspace, context, newest)
    content = {name: [published[name].sha256, features[name].sha256 if name in features else ""] for name in newest}
    declared = context.model.drift is not None
    key = sha256_bytes(canonical_json([version.version, rule.model_dump(), declared, content]))[:16]
    if key == known:
        return None
    enough = rule.partitions if context.dataset.partitions.timed else 1
    found = Drift(key, version.version)
    if declared:
        _look_at_inputs(workspace, context, version, rule, enough, newest, found)
    if why := expecting.differs(context, version.model_ref):
        found.said.append(f"version {version.version} {why}: neither its outputs nor outcomes are compared")
    else:
        frames = {
            name: expecting.predicted(
                workspace, context, version.model_ref.evaluated, batches.read(workspace.store, ref)
            )
            for name, ref in features.items()
        }
        if declared:
            _look_at_outputs(workspace, context, version, rule, enough, frames, found)
        _look_at_outcomes(workspace, context, version, rule, frames, found)
    return found


def _look_at_inputs(
    workspace: Workspace,
    context: ModelContext,
    version: VersionRef,
    rule: DriftRule,
    enough: int,
    newest: Sequence[str],
    found: "Drift",
) -> None:
    from ml_platform.validation.drift import drifted_columns

    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    reference = expecting.learned_inputs(workspace, context, version.model_ref)
    columns = expecting.compared_columns(reference, context)
    each = {part: drifted_columns(reference, materializer.raw(part).select(columns), columns) for part in newest}
    found.shares |= {
        part: sum(one > rule.psi for one in values.values()) / len(values) for part, values in each.items()
    }
    found.columns |= each[newest[-1]]
    over = [part for part, share in found.shares.items() if share > rule.share]
    found.tell("inputs", _text(rule, version.version, found.shares, over, found.columns, enough), len(over) >= enough)


def _look_at_outputs(
    workspace: Workspace,
    context: ModelContext,
    version: VersionRef,
    rule: DriftRule,
    enough: int,
    frames: "Mapping[str, pl.DataFrame]",
    found: "Drift",
) -> None:
    """The predictions of partitions against those for the holdout, which the version did not learn from either."""
    usual = expecting.held_out(workspace, context, version.model_ref.evaluated)[expecting.PREDICTION]
    for part, frame in frames.items():
        if frame.height:
            found.outputs[part] = expecting.moved(usual, frame[expecting.PREDICTION])
    over = [part for part, value in found.outputs.items() if value > rule.psi]
    if found.outputs:
        largest = max(found.outputs.values())
        text = f"outputs of {', '.join(over) or 'none'} moved from those for its holdout (PSI {largest:.2f} at most)"
        found.tell("outputs", text, len(over) >= enough)


def _look_at_outcomes(
    workspace: Workspace,
    context: ModelContext,
    version: VersionRef,
    rule: DriftRule,
    frames: "Mapping[str, pl.DataFrame]",
    found: "Drift",
) -> None:
    """One partition is enough: its interval from day to day says already that this was no chance."""
    for part in expecting.complete(context, [*frames]):
        frame = frames[part]
        if known := expecting.gaps(workspace, context, version.model_ref.evaluated, frame):
            found.outcomes[part] = known
        if far := sorted(
            (gap for gap in known if gap.exceeds(rule.outcomes)), key=lambda gap: (bool(gap.column), -gap.beyond)
        ):
            more = f" and {len(far) - TOLD} more" if len(far) > TOLD else ""
            found.unexpected[part] = f"{part}: {'; '.join(gap.said for gap in far[:TOLD])}{more}"
    if found.unexpected:
        told = "; ".join(found.unexpected.values())
        found.tell("outcomes", f"outcomes are not what version {version.version} leads one to expect: {told}", True)
    elif found.outcomes:
        found.tell("outcomes", f"outcomes of {', '.join(found.outcomes)} are as expected", False)
    else:
        found.tell("outcomes", "too few outcomes, or days of them, to compare", False)


def look(workspace: Workspace, context: ModelContext) -> str:
    """:func:`observe` where there is something new to see, noted in the ledger; what is to be said of it.

    Raises as that does.
    """
    name = context.model.name
    before, glance = seen(workspace, name), _glance(workspace, context)
    if before is not None and glance and before.get("glance") == glance:
        return f"{before['text']} (as seen before)"
    found = observe(workspace, context, known=before["key"] if before else "")
    if found is None:
        assert before is not None
        if glance:
            _note(workspace, name, {**before, "glance": glance})
        return f"{before['text']} (as seen before)"
    body: dict[str, Any] = {
        "key": found.key,
        "version": found.version,
        "drifted": found.drifted,
        "text": found.text,
        "shares": found.shares,
        "unexpected": found.unexpected,
        "glance": glance,
    }
    _note(workspace, name, body)
    return found.text


def _note(workspace: Workspace, name: str, body: dict[str, Any]) -> None:
    run = Run(id="sensor")
    workspace.ledger.decide(
        DRIFT, subject=body["key"], subject_name=f"{name}/{DRIFT}", body=body, run_id=run.id, provenance=run.provenance
    )


def _glance(workspace: Workspace, context: ModelContext) -> str:
    """Names what a look would compare, without the registry, which costs more than all else while nothing happens.

    Empty where no version was promoted: which one answers is then for the registry to say.
    """
    standing = champions.in_force(workspace, context.model.name)
    if not standing:
        return ""
    rule, published = context.model.drift, published_batches(workspace, context.dataset.name)
    content: list[Any] = []
    for partition in sorted(published)[-(rule or DriftRule()).window :]:
        try:
            features = workspace.references.load(context.feature_set.key, partition)
            made_from = [features.sha256, getattr(features, "inputs", {})]
        except MissingReference:
            made_from = []
        content.append([partition, published[partition].sha256, made_from])
    champion = [standing[-1].version, standing[-1].model_sha256]
    return sha256_bytes(canonical_json([champion, rule.model_dump() if rule else None, content]))[:16]


def seen(workspace: Workspace, model: str) -> dict[str, Any] | None:
    """What was seen last of a model: ``key``, ``version``, ``drifted`` (kind to a sentence), ``text``,

    ``unexpected`` (partition to a sentence) is not there where an earlier release looked.
    """
    entries = workspace.ledger.entries(subject_name=f"{model}/{DRIFT}", kind=DRIFT, newest=1)
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
    recorded_trainings.require_known(workspace, version.model_ref)
    split = version.model_ref.evaluated.split
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
    compared = expecting.compared_columns(reference, context)
    columns = [name for name in compared if name not in private]
    path = folder(workspace.settings) / f"{context.model.name}-drift-{version.sha256[:16]}.html"
    return path, write(reference.select(columns), current.select(columns), path)


def _text(
    rule: DriftRule, version: int, shares: dict[str, float], over: list[str], latest: dict[str, float], enough: int
) -> str:
    newest = max(shares)
    worst = ", ".join(f"{column} {value:.2f}" for column, value in list(latest.items())[:4])
    return (
        f"{'drift' if len(over) >= enough else 'no drift'}: {len(over)} of the {len(shares)} newest partitions "
        f"({', '.join(over) or 'none'}) drifted from what version {version} learned from, {rule.partitions} of "
        f"{rule.window} count; in {newest} {shares[newest]:.0%} of {len(latest)} inputs are beyond PSI {rule.psi:g} "
        f"({rule.share:.0%} allowed), largest: {worst}"
    )
