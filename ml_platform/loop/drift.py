"""Drift of raw inputs: the newest partitions against those that the registered version was trained on."""

from dataclasses import dataclass

from ml_platform.datasets import publishing
from ml_platform.declarations import ModelContext
from ml_platform.features.materialize import Materializer
from ml_platform.files import canonical_json, sha256_bytes
from ml_platform.workspace import Workspace

#: Rows drawn of each partition of the reference: PSI of deciles needs no more.
REFERENCE_ROWS = 20_000


@dataclass(frozen=True)
class Drift:
    """What a look at the newest partitions found."""

    #: Names what was compared: version and content. The same key need not be looked at twice.
    key: str
    drifted: bool
    text: str
    #: Partition to share of drifted columns.
    shares: dict[str, float]
    #: Column to PSI for the newest partition, largest first.
    columns: dict[str, float]


def observe(workspace: Workspace, context: ModelContext, known: str = "") -> Drift | None:
    """Compare the newest partitions with the training data of the champion; ``None`` where ``known`` names it.

    Raises MissingReference where no version is registered.
    """
    import polars as pl

    from ml_platform.monitoring.drift import drifted_columns

    rule = context.model.drift
    assert rule is not None
    version = workspace.registry.champion(context.model.name) or workspace.registry.latest(context.model.name)
    if version is None:
        return None
    published = publishing.published(workspace.store, context.dataset.name)
    newest = sorted(published)[-rule.window :]
    key = sha256_bytes(
        canonical_json([version.version, rule.model_dump(), {name: published[name].sha256 for name in newest}])
    )[:16]
    if key == known:
        return None
    materializer = Materializer(workspace, context.feature_set, context.dataset)
    function = context.function
    columns = [name for name in function.inputs if name not in (*function.key, function.time)]
    reference = pl.concat(
        frame.gather_every(max(1, frame.height // REFERENCE_ROWS))
        for frame in (materializer.raw_at(entry).select(columns) for entry in version.model_ref.split.train)
    )
    found = {name: drifted_columns(reference, materializer.raw(name).select(columns), columns) for name in newest}
    shares = {name: sum(value > rule.psi for value in values.values()) / len(values) for name, values in found.items()}
    over = [name for name, share in shares.items() if share > rule.share]
    latest = found[newest[-1]]
    worst = ", ".join(f"{name} {value:.2f}" for name, value in list(latest.items())[:4])
    drifted = len(over) >= rule.partitions
    text = (
        f"{len(over)} of the {len(newest)} newest partitions drifted from version {version.version}'s training data "
        f"({rule.partitions} of {rule.window} asked for; newest {newest[-1]}: {shares[newest[-1]]:.0%} of "
        f"{len(columns)} inputs, {worst}); "
        + (("training is requested" if rule.action == "train" else "training is advised") if drifted else "no action")
    )
    return Drift(key, drifted, text, shares, latest)
