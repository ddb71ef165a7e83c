"""Entries of the ledger, the chain of their hashes, and what a process has verified of it."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance
from ml_platform.ledger.entry_text import Row, canonical, plainly_passed, quoted
from ml_platform.ledger.kinds import CONTINUATION, KEY, PUBLICATION, ROLLBACK, VERDICT
from ml_platform.ledger.signing import holds, is_public, signed_by
from ml_platform.ledger.times import Times

GENESIS = "0" * 64
#: Name of entries about the ledger itself.
ITSELF = "ledger"
#: Keys in the metadata of a commit; the registry's tags have a prefix of their own.
HEAD, LENGTH, PUBLIC_KEY = "ledger_head", "ledger_length", "ledger_key"
_WAY_OUT = (
    "restore the ledger from a backup and accept what it lacks with ml-platform ledger continue --by NAME --reason TEXT"
)
_BYTES, _TAKEN = 32, "taken away:"


class Broken(PlatformError):
    """The ledger is not what was written; names the first entry that is wrong, and the way out."""


class Published(NamedTuple):
    """A content that was published."""

    sha256: str
    #: What its object says of itself besides, as far as the entry tells: ``rows``, what was set aside, new columns.
    labels: Mapping[str, str]
    #: Number of its entry.
    sequence: int


@dataclass(frozen=True)
class Entry:
    """A line of the ledger, as read back."""

    sequence: int
    at: datetime
    kind: str
    subject: str
    subject_name: str
    gate: str
    body: dict[str, Any]
    provenance: Provenance
    run_id: str
    actor: str
    previous: str
    hash: str
    #: ``<public key>:<signature of the hash>``; None for an entry that was written without a key.
    signature: str | None = None


class Anchor(NamedTuple):
    """What a place outside the ledger noted of it: how long it was, and the hash of its newest entry then."""

    head: str
    #: None in notes of releases that did not write it.
    length: int | None
    #: Public key that entries were signed with; empty where they were not.
    key: str = ""
    #: Where it was found, for people.
    place: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """As metadata of a commit."""
        return {HEAD: self.head, LENGTH: str(self.length)} | ({PUBLIC_KEY: self.key} if self.key else {})

    @classmethod
    def taken_away(cls, place: str) -> "Anchor":
        """For a place that always has a note and has none now; no chain holds it."""
        return cls(f"{_TAKEN} {place}", None, place=place)

    @classmethod
    def of(cls, facts: Any, place: str, prefix: str = "") -> "Anchor | None":
        """From metadata or tags; None where they hold none, and taken away where it is no hash any more."""
        if prefix + HEAD not in facts:
            return None
        if not re.fullmatch("[0-9a-f]{64}", facts[prefix + HEAD]):
            return cls.taken_away(place)
        length = facts.get(prefix + LENGTH, "")
        number = int(length) if length.isdecimal() else None
        return cls(facts[prefix + HEAD], number, facts.get(prefix + PUBLIC_KEY, ""), place)


class Excuse(NamedTuple):
    """An entry that accepts a gap."""

    sequence: int
    #: Length and head of every anchor that it accepts.
    anchors: frozenset[tuple[int | None, str]]
    #: Public key in force.
    key: str


class Chain:
    """What was verified: 32 bytes for each entry, and which entries are about what. Only ever grows."""

    def __init__(self) -> None:
        self._hashes = bytearray()
        #: Public key that the next entry has to be signed with; empty while nothing is signed.
        self.key = ""
        #: The first signed entry; 0 while nothing is.
        self.signed_since = 0
        #: Content to the sequences of entries about it.
        self._about: dict[str, list[int]] = {}
        #: Name of a content to the sequences of entries about it.
        self._named: dict[str, list[int]] = {}
        #: Name to the content that was judged last under it.
        self.newest: dict[str, str] = {}
        #: Name to what was published under it, the oldest first; an empty content where it was taken out.
        self.published: dict[str, list[Published]] = {}
        #: Contents of which not every verdict was a pass: of all others none is held back.
        self.doubted: set[str] = set()
        self.excuses: list[Excuse] = []
        self.times = Times()

    def __len__(self) -> int:
        return len(self._hashes) // _BYTES

    @property
    def head(self) -> str:
        """Hash of the newest entry."""
        return self.at(len(self))

    def at(self, sequence: int) -> str:
        """Hash of an entry; the genesis hash for 0."""
        return self._hashes[(sequence - 1) * _BYTES : sequence * _BYTES].hex() if sequence else GENESIS

    def about(self, subject: str) -> Sequence[int]:
        """Sequences of the entries about a content."""
        return tuple(self._about.get(subject, ()))

    def named(self, name: str) -> Sequence[int]:
        """Sequences of the entries about what has this name."""
        return tuple(self._named.get(name, ()))

    def extend(self, rows: Sequence[Row], every_signature: bool = False) -> None:
        """Add rows that follow, all or none. Raises Broken at the first that is wrong.

        A signature covers everything before it, so those of the last row and of each change of keys prove all;
        ``every_signature`` checks each.
        """
        hashes: list[str] = []
        count, key, end, since = len(self), self.key, len(self) + len(rows), self.signed_since
        excuses: list[Excuse] = []
        previous = self.head
        before = quoted(previous)
        # What runs in a row share is quoted once: the commit, lock and Python of a run are a third of an entry.
        shared: tuple[str, str, str] | None = None
        run = ("", "", "")
        # Unpacked, and without a call that can be spared: a cold start goes through every entry there is.
        for number, at, kind, subject, name, gate, body, provenance, run_id, actor, preceding, own, signature in rows:
            count += 1
            if number != count:
                raise Broken(f"ledger: entry {count} is missing (found {number}); {_WAY_OUT}")
            try:
                if (provenance, run_id, actor) != shared:
                    shared, run = (provenance, run_id, actor), (quoted(provenance), quoted(run_id), quoted(actor))
                texts = (quoted(at), quoted(kind), quoted(subject), quoted(name), quoted(gate), quoted(body))
            except TypeError as error:
                raise Broken(f"ledger: entry {count} was changed after it was written; {_WAY_OUT}") from error
            found = sha256(canonical(number, *texts, *run, before).encode()).hexdigest()
            if preceding != previous or own != found:
                raise Broken(f"ledger: entry {count} was changed after it was written; {_WAY_OUT}")
            previous, before = found, f'"{found}"'
            hashes.append(found)
            if key or kind == KEY or signature:
                named = json.loads(body)["public"] if kind == KEY else ""
                key = _key_after(number, found, signature, named, key, every_signature or count == end)
                since = since or (count if key else 0)
            if kind == CONTINUATION:
                anchors = json.loads(body)["anchors"]
                excuses.append(Excuse(count, frozenset((length, head) for length, head in anchors), key))
        times = self.times.copy()
        for number, at, *_ in rows:
            try:
                times.add(number, at)
            except ValueError as error:
                raise Broken(f"ledger: entry {number} was changed after it was written; {_WAY_OUT}") from error
        self._hashes += bytes.fromhex("".join(hashes))
        self.key, self.signed_since, self.times = key, since, times
        self.excuses += excuses
        for number, _, kind, subject, name, _, body, *_ in rows:
            self._about.setdefault(subject, []).append(number)
            self._named.setdefault(name, []).append(number)
            if kind == VERDICT:
                self.newest[name] = subject
                self.doubted.update(() if plainly_passed(body) else (subject,))
            elif kind in (PUBLICATION, ROLLBACK):
                said = json.loads(body)
                # What takes a model's version back has the same kind, and names no content.
                current = said.get("current") if kind == ROLLBACK else subject
                if current is not None:
                    told = {"rows": str(said["rows"])} if kind == PUBLICATION and "rows" in said else {}
                    labels = told | said.get("labels", {})
                    self.published.setdefault(name, []).append(Published(current, labels, number))

    def accepted(self) -> int:
        """Number of the newest entry by which a person accepted a gap; 0 where none did."""
        return self.excuses[-1].sequence if self.excuses else 0

    def lacking(self, anchors: Iterable[Anchor]) -> list[Anchor]:
        """Anchors that this chain does not hold and that no entry accepted."""
        seen = list(anchors)
        keys = {anchor.key for anchor in seen if anchor.key}
        return [anchor for anchor in seen if not self._holds(anchor) and not self._excused(anchor, keys)]

    def lost(self, anchors: Collection[Anchor]) -> dict[str, Any]:
        """What these anchors show as lost, and which of them do: the body of the entry that accepts it."""
        gone = self.lacking(anchors)
        known = [anchor.length for anchor in gone if anchor.length is not None]
        return {
            "lost": {"after": self.proven(anchors), "to": max(known, default=None), "present": len(self)},
            "anchors": sorted({(anchor.length, anchor.head) for anchor in gone}, key=str),
            "places": sorted({anchor.place for anchor in gone}),
        }

    def require(self, anchors: Iterable[Anchor]) -> None:
        """Raise Broken unless every anchor is held or accepted."""
        for anchor in self.lacking(anchors):
            if anchor.head.startswith(_TAKEN):
                raise Broken(f"ledger: the note of its head at {anchor.place} was taken away; {_WAY_OUT}")
            reason = (
                f"it ends at entry {len(self)}, {anchor.place} names entry {anchor.length}"
                if anchor.length is not None and anchor.length > len(self)
                else f"{anchor.place} names another entry{f' {anchor.length}' if anchor.length is not None else ''}"
            )
            raise Broken(
                f"ledger: entries were cut or replaced: {reason} ({anchor.head[:12]}); {_WAY_OUT}. Where another "
                "installation works on the same store or registry, share its ledger: set ML_PLATFORM_LEDGER_URL to it"
            )

    def require_known(self, earlier: "Chain") -> None:
        """Raise Broken unless this goes on from what the process saw before, or an entry since accepts that it does
        not."""
        shared = 0
        while shared < min(len(self), len(earlier)) and self.at(shared + 1) == earlier.at(shared + 1):
            shared += 1
        accepted = any(
            excuse.sequence > shared and (not earlier.key or excuse.key == earlier.key) for excuse in self.excuses
        )
        if shared < len(earlier) and not accepted:
            raise Broken(f"ledger: entries after {shared} were cut or replaced while this process ran; {_WAY_OUT}")

    def require_key(self, public: str) -> None:
        """Raise Broken where entries are signed with another key than the one in force, or not at all."""
        if len(self) and not self.key:
            raise Broken(unsigned(len(self)))
        if self.key and self.key != public:
            raise Broken(
                f"ledger: its entries are signed with key {self.key[:12]}, ML_PLATFORM_LEDGER_KEY is {public[:12]}; "
                f"set the key that is in force, or {_WAY_OUT}"
            )

    def proven(self, anchors: Collection[Anchor]) -> int:
        """Length up to which the longest anchor that holds proves the chain."""
        return max((anchor.length for anchor in anchors if anchor.length and self._holds(anchor)), default=0)

    def _holds(self, anchor: Anchor) -> bool:
        if anchor.length is not None:
            return anchor.length <= len(self) and self.at(anchor.length) == anchor.head
        try:
            return anchor.head == GENESIS or self._hashes.find(bytes.fromhex(anchor.head)) >= 0
        except ValueError:
            return False

    def _excused(self, anchor: Anchor, keys: set[str]) -> bool:
        # Where anchors name a key, only who holds one of these may have accepted that they are gone.
        return any(
            (anchor.length, anchor.head) in excuse.anchors and (not anchor.key or excuse.key in keys)
            for excuse in self.excuses
        )


def _key_after(number: int, own: str, signature: str | None, named: str, key: str, check: bool) -> str:
    """The public key in force after an entry, which may have ``named`` one.

    Raises Broken where its signature is not the one it must have.
    """
    if not signature and (key or named):
        raise Broken(f"ledger: entry {number} is not signed, though the ones before are; {_WAY_OUT}")
    if not signature:
        return ""
    # The first signed entry introduces its own key; later ones are signed with the key in force.
    expected = key or named
    if signed_by(signature) != expected:
        raise Broken(f"ledger: entry {number} is signed with a key that is not in force; {_WAY_OUT}")
    if (check or named) and not holds(signature, own):
        raise Broken(f"ledger: entry {number} has a wrong signature; {_WAY_OUT}")
    if named and not is_public(named):
        raise Broken(f"ledger: entry {number} names no public key; {_WAY_OUT}")
    return named or key


def unsigned(entries: int) -> str:
    """Why a process with a key relies on no ledger without signatures."""
    return (
        f"ledger: its {entries} entries are not signed and ML_PLATFORM_LEDGER_KEY is set; where they never were, "
        f"ml-platform ledger sign --by NAME --reason TEXT begins to; where they were, {_WAY_OUT}"
    )
