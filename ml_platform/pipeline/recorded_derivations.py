"""Which derived data was made here, by the ledger: features, their daily tables, scores.

They lie on branches of the store, where whoever can write to it can put other content under the same description.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import DERIVATION, VERDICT
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from ml_platform.datasets.store import ObjectInfo
    from ml_platform.ledger.chain import Entry


class Derivations:
    """What the ledger said of derived data of some names when it was asked."""

    def __init__(self, entries: "Iterable[Entry]") -> None:
        self._by_name: dict[str, list[Entry]] = {}
        for entry in entries:
            self._by_name.setdefault(entry.subject_name, []).append(entry)

    def named(self, name: str, sha256: str, labels: Mapping[str, str]) -> bool:
        """Whether a content was made here under this name, and the store says of it what was said then."""
        return any(one.subject == sha256 and one.body == dict(labels) for one in self._made(name))

    def newest(self, name: str, sha256: str, labels: Mapping[str, str]) -> bool:
        """Whether a content is what was made last under this name, and the store says of it what was said then."""
        return any(one.subject == sha256 and one.body == dict(labels) for one in self._made(name)[-1:])

    def known(self, name: str, info: "ObjectInfo", inputs: Mapping[str, str]) -> bool:
        """Whether what the store has under a name is :meth:`named`, or was made of ``inputs`` by an earlier release.

        Such a release named nothing. It judged: a verdict that let exactly this content pass counts, until this
        release makes something of that name.
        """
        if self._made(name):
            return self.named(name, info.sha256, info.metadata)
        verdicts = [one for one in self._by_name.get(name, ()) if one.kind == VERDICT and one.subject == info.sha256]
        return any(one.body["status"] == "passed" and _made_of(one.body, inputs) for one in verdicts)

    def _made(self, name: str) -> "list[Entry]":
        return [one for one in self._by_name.get(name, ()) if one.kind == DERIVATION]


def of(workspace: Workspace, names: Iterable[str]) -> Derivations:
    """What the ledger says of derived data of these names, asked at once."""
    return Derivations(workspace.ledger.about(names))


def note(
    workspace: Workspace, made: Mapping[str, tuple[str, Mapping[str, str]]], run: Run, *, newest: bool = False
) -> None:
    """Let the ledger name derived content (its sha256 and labels, by name), in one transaction; each once.

    Where only the ``newest`` of a name counts, what was made before and is made again is named again.
    """
    known = of(workspace, made)
    there = known.newest if newest else known.named
    workspace.ledger.decide_each(
        DERIVATION,
        [(sha256, name, dict(labels)) for name, (sha256, labels) in made.items() if not there(name, sha256, labels)],
        run_id=run.id,
        provenance=run.provenance,
    )


def _made_of(verdict: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
    """Whether a verdict was given on what was made of these inputs; the oldest ones do not say."""
    compared: Mapping[str, str] = verdict.get("compared") or inputs
    return inputs.items() <= compared.items()
