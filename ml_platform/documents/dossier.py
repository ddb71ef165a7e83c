"""What is known of one registered version, gathered once for every document about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import Evaluation
    from ml_platform.ledger.chain import Anchor, Entry
    from ml_platform.references.refs import VersionRef


class Material(NamedTuple):
    """One partition that a version was trained or judged on."""

    #: ``train`` or ``holdout``, and of a refit ``judged`` and ``judged holdout``: those of the model judged for it.
    part: str
    #: The partition for people.
    label: str
    rows: int
    #: The batch: ``dataset/partition``, sha256 of its file, commit of the store (empty: it is gone).
    batch: str
    batch_sha256: str
    batch_commit: str
    #: sha256 and commit of the file with its features.
    features_sha256: str
    features_commit: str


class Pin(NamedTuple):
    """An installed package of the lock that it was trained with."""

    name: str
    version: str
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dossier:
    """A version with all that ledger, registry, manifest and declarations say of it."""

    version: "VersionRef"
    evaluation: "Evaluation"
    card: str
    materials: Sequence[Material]
    #: The newest verdict of each gate on each content that the version is made of, in the order of the ledger.
    verdicts: Sequence["Entry"]
    #: Decisions on the version and its packages, in the order of the ledger.
    decisions: Sequence["Entry"]
    #: Content hashes of its packages.
    packages: Sequence[str]
    #: Packages of the lock that was recorded; None where that lock is not here any more.
    pins: Sequence[Pin] | None
    #: As it is declared now: ``purpose``, ``limits``, ``owners``, ``decision_threshold``, ``retrain``, ``drift``,
    #: ``rollout``, ``quarantine``, and ``columns`` of a request (name, type, description).
    declared: Mapping[str, Any]
    #: The ledger when this was gathered: its head, its length, and the key that entries are signed with, if any.
    ledger: "Anchor"
    #: The first entry that is signed; 0 where none is.
    signed_since: int = 0
    #: Entries by which somebody accepted that something of the ledger or the store is lost.
    gaps: Sequence["Entry"] = ()

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.version.model}@{self.version.version}"

    @property
    def at(self) -> str:
        """ISO time of the newest thing that is told of it: equal knowledge gives equal documents."""
        return max(entry.at for entry in (*self.verdicts, *self.decisions, *self.gaps)).isoformat(timespec="seconds")
