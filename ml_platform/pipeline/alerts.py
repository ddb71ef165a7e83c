"""What a person has to know and to decide, found in store, ledger and registry; each told once until it changes."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import sha256_bytes
from ml_platform.foundation.names import some
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.provenance import Run
from ml_platform.gates import stages
from ml_platform.ledger.kinds import ALERT, PROMOTION, ROLLBACK
from ml_platform.live.messages import alert_channels, send
from ml_platform.pipeline import champions, current_splits, data, drift, live_drift
from ml_platform.pipeline.judging import batch_gates, held_by
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.retraining import refused_in_a_row
from ml_platform.pipeline.rollback import withdrawn
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import VersionRef

#: That something of a dataset or model cannot be looked at: what was open of it stays so.
UNREADABLE = "unreadable"
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
KINDS = ("batch", "late", "refused", "champion", "stale", "data", "outcomes", "traffic", "rollback", UNREADABLE)


def standing(workspace: Workspace, catalogue: Catalogue) -> list[Alert]:
    """What holds now, of datasets first. Of what cannot be looked at that is an alert, beside all others."""
    found: list[Alert] = []
    for spec in catalogue.datasets.values():
        looks = {
            "what was refused": partial(_refused_batches, workspace, spec),
            "what is published": partial(_of_dataset, workspace, spec),
        }
        found += _looked(spec.name, looks)
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
    workspace: Workspace,
    alerts: Iterable[Alert],
    *,
    kinds: Collection[str],
    names: Collection[str] | None = None,
    unless: Collection[str] = (),
) -> list[str]:
    """Send what was not told before; note in the ledger what was told, and what is over. Returns sentences about that.

    ``kinds`` and ``names`` (default: all, ``unless`` these) are what was looked at: other alerts stay as they are.
    A channel that does not take a message is tried again the next time, and the others are not told again.
    """
    channels = alert_channels(workspace.settings)
    now = {(alert.name, alert.kind): alert for alert in alerts}
    hidden = {name for name, kind in now if kind == UNREADABLE}
    told = {
        (entry.subject_name.partition("/")[0], entry.body["kind"]): entry.body
        for entry in workspace.ledger.log(kind=ALERT)
    }
    said = []
    for alert in now.values():
        before = told.get((alert.name, alert.kind))
        known = before is not None and before["open"] and before["key"] == alert.key
        missing = before.get("missing", []) if before is not None and known else []
        if known and not missing:
            continue
        failed = send(alert.said, channels, only=missing)
        said += [f"{error}; tried again at the next tick: {alert.said}" for error in failed.values()]
        if reached := known or len(failed) < max(len(channels), 1):
            _note(workspace, alert, True, sorted(failed))
        if not failed or (reached and not known):
            said.append(f"told{'' if channels else ' here'}: {alert.said}")
    for (name, kind), body in told.items():
        chosen = name not in unless and (names is None or name in names)
        looked = kind in kinds and chosen and (kind == UNREADABLE or name not in hidden)
        if looked and body["open"] and (name, kind) not in now:
            _note(workspace, Alert(name, kind, body["said"], body["key"]), False)
            said.append(f"over: {body['said']}")
    return said


def _note(workspace: Workspace, alert: Alert, opened: bool, missing: Collection[str] = ()) -> None:
    """``missing``: channels that have not taken it yet."""
    run = Run(id="sensor")
    workspace.ledger.decide(
        ALERT,
        subject=sha256_bytes(f"{alert.name} {alert.kind} {alert.key}"),
        subject_name=f"{alert.name}/{ALERT}/{alert.kind}",
        body={"kind": alert.kind, "said": alert.said, "key": alert.key, "open": opened}
        | ({"missing": list(missing)} if missing else {}),
        run_id=run.id,
        provenance=run.provenance,
    )


def _refused_batches(workspace: Workspace, spec: DatasetSpec) -> Iterator[Alert]:
    """Batches that came last for their partition and are held back; not what a person took out."""
    refused = data.refused(workspace, spec)
    held = {name: verdicts for name, verdicts in refused.items() if name not in withdrawn(refused)}
    if not held:
        return
    published = published_batches(workspace, spec.name)
    said = "; ".join(
        f"{name} is refused by {some([verdict.gate for verdict in verdicts])}"
        f"{', what was published of it stays' if name in published else ' and published nowhere'}"
        for name, verdicts in sorted(held.items())
    )
    contents = sorted({verdict.subject for verdicts in held.values() for verdict in verdicts})
    yield Alert(
        spec.name, "batch", f"{spec.name}: {said}; see ml-platform why {spec.name}/{max(held)}", ", ".join(contents)
    )


def _of_dataset(workspace: Workspace, spec: DatasetSpec) -> Iterator[Alert]:
    published = published_batches(workspace, spec.name)
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
            "what it is asked": partial(_traffic, workspace, context, champion),
        },
    )


def _rolled_back(workspace: Workspace, context: ModelContext) -> Iterator[Alert]:
    name = context.model.name
    entries = [
        entry
        for kind in (PROMOTION, ROLLBACK)
        for entry in workspace.ledger.entries(subject_name=f"{name}/champion", kind=kind, newest=1)
    ]
    newest = max(entries, key=lambda entry: entry.sequence, default=None)
    if newest is not None and newest.kind == ROLLBACK:
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
    published = published_batches(workspace, context.dataset.name)
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


def _traffic(workspace: Workspace, context: ModelContext, champion: VersionRef) -> Iterator[Alert]:
    """Requests that are not what the champion learned from: a caller that changed, or the world did."""
    name, found = context.model.name, live_drift.statement(workspace, context.model.name)
    if found.status == "drifted" and found.version == champion.version:
        yield Alert(
            name,
            "traffic",
            f"{name}: {found.said}; is what callers send right? See the asset {live_drift.key_of(name)}; if the world "
            f"changed, ml-platform train {name}",
            f"{champion.version} {found.window}",
        )


def learned_from(workspace: Workspace, context: ModelContext, champion: VersionRef) -> Iterator[Alert]:
    """Whether the champion learned from data that was withdrawn, or that its gates refuse now."""
    name, split = context.model.name, champion.model_ref.split
    contents = current_splits.contents(split)
    gates = batch_gates(workspace, context.dataset)
    taken_out, refused = dict[str, str](), dict[str, str]()
    for about, verdicts in workspace.ledger.judged(contents, gates).items():
        partition = about.removeprefix(context.dataset.prefix)
        if (taken := verdicts.get(stages.ROLLBACK)) is not None and taken.holds_back:
            taken_out[partition] = taken.reason
        elif held := held_by(verdicts, gates):
            refused[partition] = ", ".join(held)
    for partitions, what in ((taken_out, "was"), (refused, "is refused by")):
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
