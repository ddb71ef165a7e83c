"""An evidence pack of one version: what somebody else needs to judge it, bound to content hashes, in one folder."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_platform.datasets.batches import batch_tag
from ml_platform.datasets.store import NotFound
from ml_platform.declarations.context import ModelContext
from ml_platform.documents import annex_iv, attestation, bill_of_materials
from ml_platform.documents.dossier import Dossier, Material, Pin
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, made, sha256_bytes, write_atomic
from ml_platform.foundation.inherited import GIT, inherited
from ml_platform.foundation.project import code_root
from ml_platform.foundation.provenance import LOCK, pinned
from ml_platform.ledger import itself
from ml_platform.ledger.chain import Anchor
from ml_platform.ledger.kinds import (
    APPROVAL,
    LOOSENING,
    OVERRIDE,
    PACKAGING,
    PROMOTION,
    PUBLICATION,
    REGISTRATION,
    REJECTION,
    ROLLBACK,
    VERDICT,
    WITHDRAWAL,
)
from ml_platform.ledger.signing import Signer
from ml_platform.pipeline import cards, recorded_evaluations, recorded_trainings
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, ModelRef, VersionRef

if TYPE_CHECKING:
    from ml_platform.ledger.chain import Entry

#: Files of a pack. ``SHA256SUMS`` is written last: where it is there, all of them are.
DOCUMENT, BILL, STATEMENTS, CARD = "technical_documentation.md", "bom.cdx.json", "attestations.jsonl", "model_card.md"
#: The statement of which files and statements there are.
WHOLE = "pack.dsse.json"
SUMS = "SHA256SUMS"


class Pack(NamedTuple):
    """What was written."""

    folder: Path
    #: File name to sha256.
    files: dict[str, str]
    #: How many statements there are, and the key that signed them; empty where none did.
    statements: int
    key: str
    #: What only people know, an item of the document each.
    wanted: list[annex_iv.Item]


def write(workspace: Workspace, context: ModelContext, version: VersionRef, folder: Path) -> Pack:
    """Write the pack of a version to a folder; equal knowledge gives equal bytes.

    Raises PlatformError for a broken ledger, a version whose reference, card or evaluation was edited, and a folder
    that holds something else.
    """
    workspace.require_whole({version.model})
    if folder.exists() and (other := sorted({path.name for path in folder.iterdir()} - {*_names(), SUMS})):
        raise PlatformError(f"{folder} holds {other[0]}, which is no file of an evidence pack; name another folder")
    dossier = gather(workspace, context, version)
    secret = workspace.settings.ledger_key.get_secret_value()
    signer = Signer(secret) if secret else None
    text, wanted = annex_iv.render(dossier)
    bill = canonical_json(bill_of_materials.bill(dossier))
    bill_of_materials.require_valid(bill)
    said = list(attestation.statements(dossier))
    contents = {
        DOCUMENT: text,
        BILL: f"{bill}\n",
        STATEMENTS: "".join(f"{canonical_json(attestation.envelope(one, signer))}\n" for one in said),
        CARD: dossier.card,
    }
    hashes = {name: sha256_bytes(content) for name, content in contents.items()}
    contents[WHOLE] = f"{canonical_json(attestation.envelope(attestation.whole(dossier, hashes, said), signer))}\n"
    made(folder)
    (folder / SUMS).unlink(missing_ok=True)
    files = {}
    for name, content in contents.items():
        write_atomic(folder / name, content)
        files[name] = sha256_bytes(content)
    write_atomic(folder / SUMS, "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items())))
    return Pack(folder, files, len(said), signer.public if signer else "", wanted)


def gather(workspace: Workspace, context: ModelContext, version: VersionRef) -> Dossier:
    """All that is known of a version. Raises as :func:`write`."""
    reference = version.model_ref
    if not recorded_trainings.known(workspace, reference):
        raise PlatformError(
            f"{version.model} version {version.version}: the ledger names no such training; its reference was edited"
        )
    if edited := next(iter(cards.edited(workspace, version)), ""):
        raise PlatformError(f"{edited}, before anything is handed out about it")
    of, packages = reference.evaluated, _packages(workspace, version)
    materials = list(_materials(workspace, reference))
    subjects = [
        *dict.fromkeys(sha256 for one in materials for sha256 in (one.batch_sha256, one.features_sha256)),
        of.split.sha256,
        *dict.fromkeys((of.sha256, reference.sha256)),
        *packages,
    ]
    entries = [entry for sha256 in subjects for entry in workspace.ledger.entries(subject=sha256)]
    # Their subject is the champion of that time.
    entries += workspace.ledger.entries(subject_name=f"{version.model}/gates", kind=LOOSENING)
    chain = workspace.ledger.chain()
    return Dossier(
        version=version,
        evaluation=recorded_evaluations.kept(workspace, of),
        card=workspace.registry.card(version),
        materials=materials,
        verdicts=_newest(entries, _about(version.model, materials)),
        decisions=sorted(_decisions(version, entries), key=lambda entry: entry.sequence),
        packages=packages,
        pins=_pins(reference),
        declared=_declared(context),
        ledger=Anchor(chain.head, len(chain), chain.key),
        signed_since=chain.signed_since,
        gaps=itself.gaps(workspace.ledger),
    )


def _names() -> tuple[str, ...]:
    return DOCUMENT, BILL, STATEMENTS, CARD, WHOLE


def _materials(workspace: Workspace, reference: ModelRef) -> Iterator[Material]:
    parts = [("train", reference.split.train), ("holdout", reference.split.holdout)]
    if reference.judged is not None:
        judged = reference.judged.split
        parts += [("judged", judged.train), ("judged holdout", judged.holdout)]
    for part, entries in parts:
        for entry in entries:
            yield _material(workspace, part, entry)


def _material(workspace: Workspace, part: str, entry: ManifestEntry) -> Material:
    own = {name: sha256 for name, sha256 in entry.inputs.items() if name.endswith(f"/{entry.partition}")}
    batch, sha256 = next(iter(own.items()))
    try:
        commit = workspace.store.resolve(batch_tag(batch.partition("/")[0], entry.partition, sha256))
    except NotFound:
        commit = ""
    return Material(part, entry.label, entry.rows, batch, sha256, commit, entry.sha256, entry.commit)


def _packages(workspace: Workspace, version: VersionRef) -> list[str]:
    """Packages that the ledger knows of this version, the oldest first."""
    entries = workspace.ledger.entries(subject_name=f"{version.model}/service", kind=PACKAGING)
    return list(dict.fromkeys(one.subject for one in entries if one.body.get("version") == version.version))


def _about(model: str, materials: Iterable[Material]) -> set[str]:
    """Beginnings of the names under which what the version is made of was judged."""
    return {f"{model}/", *(f"{one.batch.partition('/')[0]}/" for one in materials)}


def _newest(entries: "Iterable[Entry]", about: set[str]) -> "list[Entry]":
    """The newest verdict of each gate on each content, in the order of the ledger."""
    found: dict[tuple[str, str, str], Entry] = {}
    for entry in sorted(entries, key=lambda one: one.sequence):
        if entry.kind == VERDICT and entry.subject_name.startswith(tuple(about)):
            found[entry.subject, entry.subject_name, entry.gate] = entry
    return sorted(found.values(), key=lambda one: one.sequence)


#: Kinds of entries that say who decided what; the others say how something was made.
DECISIONS = {APPROVAL, REGISTRATION, REJECTION, OVERRIDE, PROMOTION, ROLLBACK, WITHDRAWAL, PUBLICATION}


def _decisions(version: VersionRef, entries: "Iterable[Entry]") -> "Iterator[Entry]":
    """Decisions on contents of the version; of equal bytes registered twice those that name this version or none."""
    for entry in {one.sequence: one for one in entries}.values():
        about = entry.body.get("version") in (None, version.version)
        if entry.kind == LOOSENING or (entry.kind in DECISIONS and about):
            yield entry


def _pins(reference: ModelRef) -> list[Pin] | None:
    """What the recorded lock pins: the one here, or that of the recorded commit; None where neither has its hash."""
    root, wanted = code_root(), reference.provenance
    here = root / LOCK
    texts = [here.read_bytes()] if here.is_file() else []
    shown = subprocess.run(
        ["git", "-C", str(root), "show", f"{wanted.code_commit}:./{LOCK}"], env=inherited(*GIT), capture_output=True
    )
    texts += [shown.stdout] if shown.returncode == 0 else []
    text = next((one for one in texts if sha256_bytes(one) == wanted.lock_sha256), None)
    if text is None:
        return None
    return [Pin(pin.name, str(pin.specifier).removeprefix("=="), hashes) for pin, hashes in pinned(text.decode())]


def _declared(context: ModelContext) -> dict[str, Any]:
    model, function = context.model, context.function
    described = {name: (str(kind), "") for name, kind in context.dataset.types().items()}

    def words(value: Any) -> str:
        return canonical_json(value.model_dump(mode="json", exclude_defaults=True)) if value is not None else ""

    return {
        "purpose": (model.purpose or model.description).strip(),
        "limits": model.limits.strip(),
        "owners": tuple(model.owners),
        "decision_threshold": model.decision_threshold,
        "quarantine": context.dataset.quarantine.max if context.dataset.quarantine else None,
        "columns": [(name, *described.get(name, ("", ""))) for name in function.inputs],
        "retrain": words(model.retrain),
        "drift": words(model.drift),
        "rollout": words(model.rollout),
    }
