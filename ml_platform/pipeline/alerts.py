"""What a person has to know and to decide, found in store, ledger and registry; each told once until it changes."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from ml_platform.datasets import batches
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.provenance import Run
from ml_platform.live.messages import send
from ml_platform.pipeline import champions, drift
from ml_platform.pipeline.judging import batch_gates, held_by
from ml_platform.pipeline.retraining import refused_in_a_row
from ml_platform.pipeline.rollback import ROLLBACK
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef

#: That something of a dataset or model cannot be looked at: what was open of it stays so.
UNREADABLE = "unreadable"
#: Kind of the entries in the ledger.
KIND = "alert"
#: Partitions that may arrive after the newest that the champion knows, and lengths of one without any arriving.
LATE = 2


class Alert(NamedTuple):
    """Something that a person has to know."""

    #: Dataset, model or sensor.
    name: str
    #: What it is about; one of these at a time.
    kind: str
    #: What happened, and the next command.
    said: str
    #: What it is about more closely: another one is told anew, other words for the same are not.
    key: str = ""


#: Kinds that :func:`standing` looks for.
KINDS = ("late", "refused", "champion", "stale", "data", "outcomes", "rollback", UNREADABLE)


def standing(workspace: Workspace, catalogue: Catalogue) -> list[Alert]:
    """What holds now, of datasets first. Of what cannot be looked at that is an alert, beside all others."""
    found: list[Alert] = []
    for spec in catalogue.datasets.values():
        found += _looked(spec.name, {"what is published": partial(_of_dataset, workspace, spec)})
    for name in catalogue.models:
        context = ModelContext.of(catalogue, name)
        looks = {
            "its candidates": partial(_refused, workspace, context),
            "its champion": partial(_of_champion, workspace, context),
            "its rollbacks": partial(_rolled_back, workspace, context),
        }
        found += _looked(name, looks)
    return found


def _looked(name: str, looks: Mapping[str, Callable[[], Iterable[Alert]]]) -> list[Alert]:
    """What the looks at a dataset or model find; those that cannot be done are one alert."""
    found, parts = list[Alert](), Parts()
    for what, look in looks.items():
        found += parts.read(what, lambda look=look: list(look()), [])
    if parts.notes:
        said = f"{name}: {'; '.join(parts.notes)}; see ml-platform status"
        found.append(Alert(name, UNREADABLE, said, ", ".join(parts.unreadable)))
    return found


def tell(
    workspace: Workspace, alerts: Iterable[Alert], *, kinds: Collection[str], names: Collection[str] | None = None
) -> list[str]:
    """Send what was not told before; note in the ledger what was told, and what is over. Returns sentences about that.

    ``kinds`` and ``names`` (default: all) are what was looked at: other alerts stay as they are. Where a channel does
    not take a message it is tried again the next time.
    """
    now = {(alert.name, alert.kind): alert for alert in alerts}
    hidden = {name for name, kind in now if kind == UNREADABLE}
    told = {
        (entry.subject_name.partition("/")[0], entry.body["kind"]): entry.body
        for entry in workspace.ledger.log(kind=KIND)
    }
    said = []
    for alert in now.values():
        before = told.get((alert.name, alert.kind))
        if before is not None and before["open"] and before["key"] == alert.key:
            continue
        try:
            channels = send(alert.said, webhook=workspace.settings.alert_webhook, email=workspace.settings.alert_email)
        except PlatformError as error:
            said.append(f"{error}; tried again at the next tick: {alert.said}")
            continue
        _note(workspace, alert, True)
        said.append(f"told{'' if channels else ' here'}: {alert.said}")
    for (name, kind), body in told.items():
        looked = kind in kinds and (names is None or name in names) and (kind == UNREADABLE or name not in hidden)
        if looked and body["open"] and (name, kind) not in now:
            _note(workspace, Alert(name, kind, body["said"], body["key"]), False)
            said.append(f"over: {body['said']}")
    return said


def _note(workspace: Workspace, alert: Alert, opened: bool) -> None:
    run = Run(id="sensor")
    workspace.ledger.decide(
        KIND,
        subject=sha256_bytes(f"{alert.name} {alert.kind} {alert.key}"),
        subject_name=f"{alert.name}/{KIND}/{alert.kind}",
        body={"kind": alert.kind, "said": alert.said, "key": alert.key, "open": opened},
        run_id=run.id,
        provenance=run.provenance,
    )


def _of_dataset(workspace: Workspace, spec: DatasetSpec) -> Iterator[Alert]:
    published = batches.published(workspace.store, spec.name)
    if not published or not spec.partitions.timed:
        return
    first, after = spec.partitions.window(max(published))
    now = spec.partitions.bound(workspace.now())
    over = spec.partitions.end is not None and after >= spec.partitions.end
    if not over and now - after > LATE * (after - first):
        since = (
            f"{(now - after) // timedelta(hours=1)} hours" if spec.partitions.hourly else f"{(now - after).days} days"
        )
        yield Alert(
            spec.name,
            "late",
            f"{spec.name}: nothing is published after {max(published)}, {since} ago: features and "
            "history of what answers grow old; look at its source, and at ml-platform status for refused batches",
            max(published),
        )


def _refused(workspace: Workspace, context: ModelContext) -> Iterator[Alert]:
    name = context.model.name
    count, accepted = refused_in_a_row(workspace, name)
    if count >= context.model.retrain.refusals:
        again = f"then ml-platform train {name}" if accepted else "new data trains the next"
        yield Alert(
            name,
            "refused",
            f"{name}: the last {count} candidates were refused by their gates; see ml-platform status and "
            f"ml-platform check --model {name}, {again}",
        )


def _of_champion(workspace: Workspace, context: ModelContext) -> Iterator[Alert]:
    name = context.model.name
    try:
        champion = champions.champion(workspace, name)
    except PlatformError as error:
        yield Alert(name, "champion", str(error))
        return
    if champion is None:
        return
    yield from _looked(
        name,
        {
            "what was published since": partial(_outdated, workspace, context, champion),
            "what it learned from": partial(learned_from, workspace, context, champion),
            "what outcomes it leads one to expect": partial(_unexpected, workspace, context, champion),
        },
    )


def _rolled_back(workspace: Workspace, context: ModelContext) -> Iterator[Alert]:
    name = context.model.name
    entries = [
        entry
        for kind in ("promotion", "rollback")
        for entry in workspace.ledger.entries(subject_name=f"{name}/champion", kind=kind, newest=1)
    ]
    newest = max(entries, key=lambda entry: entry.sequence, default=None)
    if newest is not None and newest.kind == "rollback":
        yield Alert(
            name,
            "rollback",
            f"{name}: version {newest.body['version']} was rolled back by {newest.body['by']}: "
            f"{newest.body['because']}; see ml-platform rollout history {name}",
            str(newest.sequence),
        )


def _outdated(workspace: Workspace, context: ModelContext, champion: VersionRef) -> Iterator[Alert]:
    split = champion.model_ref.split
    newest = max(entry.partition for entry in split.learned)
    published = batches.published(workspace.store, context.dataset.name)
    since = [partition for partition in published if partition > newest]
    if context.dataset.partitions.timed and len(since) >= LATE:
        yield Alert(
            context.model.name,
            "stale",
            f"{context.model.name}: version {champion.version} answers and knows nothing after {newest}; "
            f"{len(since)} partitions arrived since and no candidate was approved; see ml-platform status",
            str(champion.version),
        )


def _unexpected(workspace: Workspace, context: ModelContext, champion: VersionRef) -> Iterator[Alert]:
    """Outcomes that the champion did not lead one to expect: a changed world, or wrong ones."""
    found = drift.seen(workspace, context.model.name)
    unexpected: dict[str, str] = found.get("unexpected", {}) if found and found["version"] == champion.version else {}
    if unexpected:
        name, partition = context.model.name, min(unexpected)
        rows = f"{context.dataset.name} {partition}" if context.dataset.partitions.timed else context.dataset.name
        yield Alert(
            name,
            "outcomes",
            f"{name}: outcomes are not what version {champion.version} leads one to expect: "
            f"{'; '.join(unexpected.values())}; are they right? If not, ml-platform data rollback {rows} --withdraw "
            f"--reason TEXT; if so, ml-platform train {name}",
            f"{champion.version} {sorted(unexpected)}",
        )


def learned_from(workspace: Workspace, context: ModelContext, champion: VersionRef) -> Iterator[Alert]:
    """Whether the champion learned from data that was withdrawn, or that its gates refuse now."""
    name, split = context.model.name, champion.model_ref.split
    contents = {
        f"{context.dataset.prefix}{input_.rpartition('/')[2]}": sha256
        for entry in split.learned
        for input_, sha256 in entry.inputs.items()
    }
    gates = batch_gates(workspace, context.dataset)
    withdrawn, refused = dict[str, str](), dict[str, str]()
    for about, verdicts in workspace.ledger.judged(contents, gates).items():
        partition = about.removeprefix(context.dataset.prefix)
        if (taken := verdicts.get(ROLLBACK)) is not None and taken.holds_back:
            withdrawn[partition] = taken.reason
        elif held := held_by(verdicts, gates):
            refused[partition] = ", ".join(held)
    for partitions, what in ((withdrawn, "was"), (refused, "is refused by")):
        if partitions:
            told = "; ".join(f"{partition}, which {what} {why}" for partition, why in sorted(partitions.items()))
            yield Alert(
                name,
                "data",
                f"{name}: version {champion.version} answers and learned from {told}; ml-platform train {name} makes "
                f"one without, ml-platform rollout rollback {name} goes back",
                f"{champion.version} {sorted(partitions)}",
            )
            return
