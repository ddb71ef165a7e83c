"""Take a published batch back, and say what was built from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_platform.datasets import batches, rollback
from ml_platform.datasets.history import publications
from ml_platform.datasets.quarantine import quarantined
from ml_platform.datasets.store import MAIN
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.words import require_words
from ml_platform.gates.gate import Verdict
from ml_platform.gates.stages import ROLLBACK
from ml_platform.ledger import kinds
from ml_platform.pipeline.lineage import Use, uses
from ml_platform.pipeline.published import known, name_of, strange
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef

#: Subject of the decision to take out an object whose content the platform does not know.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did."""

    dataset: str
    partition: str
    #: Content that was withdrawn; empty where nothing was published.
    withdrawn: str
    #: Content that is published now; empty after a withdrawal.
    current: str
    commit: str
    by: str
    reason: str
    #: The published batch; ``None`` after a withdrawal.
    ref: DatasetRef | None
    #: Registered versions and services that depend on what was withdrawn.
    used_by: tuple[Use, ...]
    #: Part to why it cannot be read: versions and services of which it is not known whether they depend on it.
    unreadable: dict[str, str]


def roll_back(
    workspace: Workspace,
    spec: DatasetSpec,
    partition: str,
    run: Run,
    *,
    reason: str,
    by: str = "",
    to: str = "",
    withdraw: bool = False,
    models: Iterable[str] = (),
    request: str = "",
) -> RolledBack:
    """Publish an earlier content of a partition again: the one before, or the one that starts with ``to``.

    The content that is withdrawn gets a verdict that keeps it from being published again, by hand or by a run
    over the same source, until a rollback ``to`` it lifts that. ``withdraw`` takes the partition out altogether;
    it then counts as refused. ``request`` names one wish: repeated with it, a rollback that was interrupted is
    finished and one that is done changes nothing. Raises PlatformError without a reason, or where there is
    nothing to return to.
    """
    store, by = workspace.store, by or workspace.settings.actor
    name, was = name_of(spec.name, partition), known(workspace)
    require_words(f"rollback of {name}", by=by, reason=reason)
    if withdraw and to:
        raise PlatformError(f"rollback of {name}: withdraw it, or name the content to return to, not both")
    # A ledger that does not know what others decided would undo it.
    workspace.ledger.require_whole({spec.name})
    begun = _begun(workspace, name, request)
    held = batches.published(store, spec.name).get(partition)
    last = next(publications(store, spec.name, partition, known=was), None)
    if begun is not None:
        taken, wanted = begun
        if (held.sha256 if held is not None else "") not in begun:
            raise PlatformError(f"rollback of {name}: it was published anew since this was asked for; ask again")
    else:
        if withdraw and not any(one.claimed and one.partition == partition for one in strange(workspace, spec.name)):
            rollback.require_present(store, spec.name, partition)
        # What got in unasked was judged bad by nobody: taken out, it may still be published.
        taken = held.sha256 if held is not None and last is not None and last.sha256 == held.sha256 else ""
        wanted = "" if withdraw else rollback.target(store, spec.name, partition, to, known=was)
        if wanted:
            # Before anything is said of it: what cannot come back is not current again.
            rollback.published_at(store, spec.name, partition, wanted)
        _record(workspace, spec, partition, run, taken, wanted, by, reason, request)
    anchor = workspace.ledger.anchor()
    commit = rollback.roll_back(
        store,
        spec.name,
        partition,
        wanted,
        run_id=run.id,
        ledger_head=anchor.head,
        provenance=run.provenance,
        reason=reason,
        metadata={**anchor.facts, "by": by},
    )
    ref = _reference(workspace, spec, partition, wanted, commit, run) if wanted else None
    # Done is done, whatever of its users cannot be read.
    parts = Parts()
    used = tuple(uses(workspace, models, [taken], parts)) if taken else ()
    return RolledBack(spec.name, partition, taken, wanted, commit, by, reason, ref, used, parts.unreadable)


def _begun(workspace: Workspace, name: str, request: str) -> tuple[str, str] | None:
    """What a request that was made before withdraws and returns to."""
    entries = workspace.ledger.entries(subject_name=name, kind=kinds.ROLLBACK) if request else []
    for entry in reversed(entries):
        if entry.body.get("request") == request:
            return entry.body["taken_back"], entry.body["current"]
    return None


def _record(
    workspace: Workspace,
    spec: DatasetSpec,
    partition: str,
    run: Run,
    taken: str,
    wanted: str,
    by: str,
    reason: str,
    request: str,
) -> None:
    """Write the decision first: from then on no run publishes again what is being withdrawn."""

    def verdict(subject: str, passed: bool) -> Verdict:
        return Verdict(
            gate=ROLLBACK,
            stage="dataset",
            subject=subject,
            subject_name=f"{spec.prefix}{partition}",
            status="passed" if passed else "failed",
            blocking=True,
            observed=0 if passed else 1,
            threshold="not withdrawn",
            declaration=ROLLBACK,
            reason=f"{'current again' if passed else 'withdrawn'} by {by}: {reason}",
        )

    verdicts = [*([verdict(taken, False)] if taken else []), *([verdict(wanted, True)] if wanted else [])]
    workspace.ledger.record(verdicts, run_id=run.id, provenance=run.provenance)
    workspace.ledger.decide(
        kinds.ROLLBACK,
        # What another tool put has no hash of ours; it can be published by no run, so no verdict has to hold it back.
        subject=taken or wanted or UNKNOWN,
        subject_name=name_of(spec.name, partition),
        body={"taken_back": taken, "current": wanted, "by": by, "because": reason, "request": request},
        run_id=run.id,
        provenance=run.provenance,
    )


def withdrawn(held: Mapping[str, Iterable[Verdict]]) -> set[str]:
    """Those of these names that a person took out, of the verdicts that hold each back."""
    return {name for name, verdicts in held.items() if any(verdict.gate == ROLLBACK for verdict in verdicts)}


def withdrawal(workspace: Workspace, dataset: str, partition: str, sha256: str) -> str:
    """Why a content of a partition must not be published: it was withdrawn, as the ledger or the commits say; else
    empty."""
    name = f"{dataset}/batch/{partition}"
    found = workspace.ledger.judgement(name, sha256).get(ROLLBACK)
    if found is not None:
        return found.reason if found.holds_back else ""
    # A ledger that was restored or begun anew knows less than the store.
    for item in publications(workspace.store, dataset, partition, known=lambda *_: True):
        if sha256 in (item.sha256, item.rolled_back):
            by = f" by {item.by}" if item.by else ""
            return f"withdrawn{by}: {item.reason}" if item.rolled_back == sha256 else ""
    return ""


def published_again(workspace: Workspace, spec: DatasetSpec) -> dict[str, str]:
    """Partitions of which ``main`` holds a content that was withdrawn, each with a line that says so.

    A store that was set back has the commits of before; the ledger has the decision.
    """
    published = batches.published(workspace.store, spec.name)
    held = workspace.ledger.held_back({f"{spec.prefix}{name}": info.sha256 for name, info in published.items()})
    found = {name: one for name in published for one in held.get(f"{spec.prefix}{name}", ()) if one.gate == ROLLBACK}
    return {
        name: f"{spec.name}/dataset/{name}: {MAIN} holds {verdict.subject[:12]} again, which was {verdict.reason}; "
        f"ml-platform data rollback {spec.name} {name} --withdraw --reason TEXT takes it out"
        for name, verdict in found.items()
    }


def require_none_again(workspace: Workspace, spec: DatasetSpec) -> None:
    """Raise PlatformError where a withdrawn content is published again (:func:`published_again`)."""
    for line in published_again(workspace, spec).values():
        raise PlatformError(line)


def _reference(
    workspace: Workspace, spec: DatasetSpec, partition: str, sha256: str, commit: str, run: Run
) -> DatasetRef:
    path = batches.batch_path(spec.name, partition)
    # Read what is promised: a rollback to bytes that are damaged must fail here, not in the next training.
    frame = batches.read_at(workspace.store, commit, path, sha256)
    quarantined(workspace.store, commit, spec.name, partition)
    return DatasetRef(
        run_id=run.id,
        provenance=run.provenance,
        dataset=spec.name,
        partition=partition,
        branch=MAIN,
        commit=commit,
        path=path,
        sha256=sha256,
        rows=frame.height,
    )
