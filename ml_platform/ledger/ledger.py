"""The append-only, hash-chained record of every verdict and decision.

One table, by SQLAlchemy: SQLite on one machine, PostgreSQL by settings. Each entry carries the hash of
the one before it and, where the platform has a key, a signature. Merges and registered versions note head and length
of the chain, which anchors it outside the database. What relies on a verdict follows the chain and its anchors first.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.database import engines, exclusive, waiting_for
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Provenance
from ml_platform.foundation.words import require_words
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.ledger import writing
from ml_platform.ledger.chain import GENESIS, ITSELF, Anchor, Broken, Chain, Entry, Published
from ml_platform.ledger.kinds import CONTINUATION, KEY, OVERRIDE, VERDICT
from ml_platform.ledger.reading import held, stored
from ml_platform.ledger.reliance import allowed, latest, not_before, same
from ml_platform.ledger.signing import Signer, is_public, signed_by
from ml_platform.ledger.table import LOCK, entry_of, last, newest_moment, prepare
from ml_platform.ledger.verified import NEWEST, AnchorSource, noted, verified_at, whole

__all__ = ["GENESIS", "Broken", "Ledger"]

#: Each of these may be done again: an entry that was written before the answer was lost is not written twice.
_waiting = waiting_for(lambda ledger, *_, **__: ledger._engine)


class Ledger:
    """Append to and read from the ledger at a SQLAlchemy URL. Cheap to create; safe for many processes."""

    def __init__(
        self,
        url: str,
        *,
        actor: str = "unknown",
        clock: Callable[[], datetime] = now_utc,
        key: str = "",
        anchors: Sequence[AnchorSource] = (),
    ) -> None:
        """``key``: private Ed25519 key that entries are signed with; ``anchors``: places that note head and length.

        Raises PlatformError for a key that is none, and for a table of a later release.
        """
        self._actor, self._clock = actor, clock
        self._signer = Signer(key) if key else None
        self._anchors = tuple(anchors)
        self._verified = verified_at(url)
        self._engine, self._reader = engines(url)
        self._prepare()

    @_waiting
    def _prepare(self) -> None:
        with self._engine.begin() as connection:
            prepare(connection)

    def record(self, verdicts: Iterable[Verdict], *, run_id: str, provenance: Provenance) -> int:
        """Append the verdicts that say something new, in one transaction; returns how many.

        A verdict equal to the latest one of its gate on the same content, under the same declaration and in the same
        context, is not repeated: judging the same thing twice is no news, whatever commit the code stands at by then.
        """
        entries = [(VERDICT, one.subject, one.subject_name, one.gate, one.recorded()) for one in verdicts]
        return self._append(entries, run_id=run_id, provenance=provenance)

    def decide(
        self, kind: str, *, subject: str, subject_name: str, body: dict[str, Any], run_id: str, provenance: Provenance
    ) -> int:
        """Append a decision (publication, registration, approval, promotion …); 0 where it is the latest already.

        The latest of its kind on that name, whichever code wrote it: who says the same again after something else was
        decided says in ``body`` what it follows.
        """
        return self.decide_each(kind, [(subject, subject_name, body)], run_id=run_id, provenance=provenance)

    def decide_each(self, kind: str, said: Iterable[tuple[str, str, dict[str, Any]]], **by: Any) -> int:
        """:meth:`decide` of several (subject, its name, body), in one transaction; returns how many were new."""
        return self._append([(kind, subject, name, "", body) for subject, name, body in said], **by)

    def override(
        self, verdict: Verdict, *, by: str, reason: str, days: int, run_id: str, provenance: Provenance
    ) -> datetime:
        """Let one content pass one gate for some days, by name and with a reason; returns when that ends.

        It holds for exactly this gate, this hash and its name, and the declaration and context that the verdict was
        given under.
        Raises PlatformError without a name or a reason, for less than a day, and for a verdict that holds nothing back.
        """
        expires = self._clock() + timedelta(days=days)
        body = writing.overriding(verdict, by, reason, days) | {"expires": expires.isoformat()}
        entry = (OVERRIDE, verdict.subject, verdict.subject_name, verdict.gate, body)
        self._append([entry], run_id=run_id, provenance=provenance)
        return expires

    def adopt_overrides(
        self, other: "Ledger", subjects: Collection[str], *, run_id: str, provenance: Provenance
    ) -> int:
        """Append the overrides that another ledger has on these contents; returns how many were new here."""
        known = {(row["subject"], row["gate"], row["body"]) for row in self._about(subjects) if row["kind"] == OVERRIDE}
        entries = [
            (entry.kind, entry.subject, entry.subject_name, entry.gate, entry.body)
            for subject in subjects
            for entry in other.entries(subject=subject, kind=OVERRIDE)
            if (entry.subject, entry.gate, canonical_json(entry.body)) not in known
        ]
        return self._append(entries, run_id=run_id, provenance=provenance)

    def with_overrides(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """The verdicts, those with an unexpired override marked as such, with who, until when and why."""
        given = list(verdicts)
        held = {verdict.subject for verdict in given if verdict.blocking and not verdict.passed}
        return self._marked(given, self._about(held))

    @_waiting
    def _marked(self, verdicts: Iterable[Verdict], rows: Iterable[Any]) -> list[Verdict]:
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in rows:
            if row["kind"] == OVERRIDE:
                body, about = json.loads(row["body"]), (row["subject_name"], row["subject"], row["gate"])
                found[*about, body["declaration"], body.get("context", "")] = body
        now = self._clock()
        if found:
            with self._reader.connect() as connection:
                now = not_before(now, newest_moment(connection))

        def marked(verdict: Verdict) -> Verdict:
            about = (verdict.subject_name, verdict.subject, verdict.gate)
            body = found.get((*about, verdict.declaration, verdict.context))
            if verdict.passed or body is None or datetime.fromisoformat(body["expires"]) <= now:
                return verdict
            text = f"overridden by {body['by']} until {body['expires'][:16]}Z: {body['because']}"
            return verdict.model_copy(update={"override": text, "reason": f"{text} ({verdict.reason})"})

        return [marked(verdict) for verdict in verdicts]

    @_waiting
    def sign(self, *, by: str, reason: str, run_id: str, provenance: Provenance) -> str:
        """Let entries be signed from now on, with the key of this process; returns its public half.

        Raises PlatformError without name, reason or key, and where entries are signed already.
        """
        signer = writing.speaking(self._signer, by, reason, "the key that shall sign it")
        common = {"provenance": canonical_json(provenance.model_dump()), "run_id": run_id, "actor": self._actor}
        with self._engine.begin() as connection:
            exclusive(connection, LOCK)
            # By itself, before it is signed over: what a key covers is believed.
            if key := whole(connection).key:
                raise PlatformError(f"key of the ledger: entries are signed with {key} already; see ledger rotate")
            newest = last(connection) or {"sequence": 0, "hash": GENESIS}
            writing.begin_signing(connection, signer, newest, {"by": by, "because": reason}, common)
        return signer.public

    def rotate(self, public: str, *, by: str, reason: str, run_id: str, provenance: Provenance) -> None:
        """Let the next entries be signed with another key: its public half, 32 bytes in base64.

        Raises PlatformError without name, reason or the key in force, and for what is no public key.
        """
        writing.speaking(self._signer, by, reason, "the key in force, which signs the next")
        if not is_public(public):
            raise PlatformError("key of the ledger: give the next public key, 32 bytes in base64")
        entry = (KEY, sha256_bytes(public), ITSELF, "", {"public": public, "by": by, "because": reason})
        self._append([entry], run_id=run_id, provenance=provenance)

    @_waiting
    def accept_gap(
        self, *, by: str, reason: str, owners: Collection[str] = (), run_id: str, provenance: Provenance
    ) -> Entry:
        """Go on from a restored backup, for good and visibly: an entry names what anchors show as lost; returns it.

        Raises Broken where the chain itself is damaged, and PlatformError without name or reason, and without the key
        that the lost entries were signed with.
        """
        require_words("ledger continue", by=by, reason=reason)
        with self._reader.connect() as connection:
            chain = whole(connection)
        anchors = noted(self._anchors, self._owners(chain, owners))
        writing.require_signed_alike(self._signer, chain.lacking(anchors))
        body = {"by": by, "because": reason, **chain.lost(anchors)}
        self._append([(CONTINUATION, chain.head, ITSELF, "", body)], run_id=run_id, provenance=provenance)
        return self.log(kind=CONTINUATION, newest=1)[0]

    @_waiting
    def _append(
        self, entries: list[tuple[str, str, str, str, dict[str, Any]]], *, run_id: str, provenance: Provenance
    ) -> int:
        origin = canonical_json(provenance.model_dump())
        written = 0
        with self._engine.begin() as connection:
            exclusive(connection, LOCK)
            newest = None
            for kind, subject, subject_name, gate, body in entries:
                text = canonical_json(body)
                latest = writing.said_last(connection, kind, subject_name, gate)
                # Not by its provenance: a commit that changes nothing here would be told as news of everything.
                if latest is not None and latest.subject == subject and same(latest.body, text):
                    continue
                common = {"provenance": origin, "run_id": run_id, "actor": self._actor}
                if newest is None:
                    newest = writing.extendable(connection, self._signer, common)
                row = {"kind": kind, "subject": subject, "subject_name": subject_name, "gate": gate, "body": text}
                newest = writing.insert(connection, self._signer, newest, {**row, **common})
                written += 1
        return written

    @_waiting
    def anchor(self) -> Anchor:
        """Head, length and public key, for what is noted outside the ledger."""
        with self._reader.connect() as connection:
            newest = last(connection)
        if newest is None:
            return Anchor(GENESIS, 0)
        return Anchor(newest["hash"], newest["sequence"], signed_by(newest["signature"] or ""))

    def head(self) -> str:
        """Hash of the newest entry; the genesis hash for an empty ledger."""
        return self.anchor().head

    def entries(
        self,
        *,
        subject: str | None = None,
        subject_name: str | None = None,
        kind: str | None = None,
        newest: int | None = None,
    ) -> list[Entry]:
        """Entries in order, exactly those that the verified chain holds; ``newest`` keeps the last N. Raises Broken."""
        chain = self._verified.follow(self._reader)
        numbers = set(range(1, len(chain) + 1)) if subject is subject_name is None else None
        for asked, known in ((subject, chain.about), (subject_name, chain.named)):
            if asked is not None:
                numbers = set(known(asked)) if numbers is None else numbers & set(known(asked))
        rows = held(self._reader, chain, numbers or ())
        chosen = [row for row in rows if kind in (None, row["kind"])]
        return [entry_of(row) for row in (chosen if newest is None else chosen[-newest:])]

    def about(self, names: Iterable[str]) -> list[Entry]:
        """Entries about what has one of these names, in order, asked at once. Raises Broken."""
        chain = self._verified.follow(self._reader)
        return [entry_of(row) for row in held(self._reader, chain, (n for name in names for n in chain.named(name)))]

    def published(self) -> Mapping[str, Sequence[Published]]:
        """What was published, by name, the oldest first; an empty content where it was taken out. Raises Broken."""
        return self._verified.follow(self._reader).published

    def chain(self) -> Chain:
        """What was verified of it: its length, gaps, times and key. Raises Broken."""
        return self._verified.follow(self._reader)

    def log(self, **chosen: Any) -> list[Entry]:
        """Entries in order as they are :func:`stored`, also of a broken ledger: to be shown, nothing to rely on."""
        return stored(self._reader, **chosen)

    def verdicts(self, subject: str) -> dict[str, Verdict]:
        """The latest verdict of each gate on a content under any name: to be shown (who acts asks :meth:`judged`)."""
        return latest(self._verdicts([subject]), {})

    def judged(self, subjects: Mapping[str, str], gates: Iterable[Gate] = ()) -> dict[str, dict[str, Verdict]]:
        """The latest verdict of each gate on many contents, each under its name, overridden ones marked; by name.

        The same bytes under another name were not judged: the rows of May are none of June. Of ``gates``, the latest
        that was given under their declaration and in their context, where there is one. The number of queries does not
        grow with that of the contents (but for very many).
        """
        found: dict[tuple[str, str], list[Verdict]] = {about: [] for about in subjects.items()}
        for verdict in self._verdicts(dict.fromkeys(subjects.values())):
            if (about := (verdict.subject_name, verdict.subject)) in found:
                found[about].append(verdict)
        asked = {gate.name: gate for gate in gates}
        return {name: latest(verdicts, asked) for (name, _), verdicts in found.items()}

    def judgement(self, name: str, subject: str, gates: Iterable[Gate] = ()) -> dict[str, Verdict]:
        """:meth:`judged` for one content under its name: the latest verdict of each gate."""
        return self.judged({name: subject}, gates)[name]

    def _verdicts(self, subjects: Iterable[str]) -> list[Verdict]:
        rows = self._about(subjects)
        given = [Verdict.model_validate_json(row["body"]) for row in rows if row["kind"] == VERDICT]
        return self._marked(given, rows)

    def _about(self, subjects: Iterable[str]) -> list[Any]:
        """Rows about these contents, in order: exactly those that the chain holds. Raises Broken."""
        chain = self._verified.follow(self._reader)
        return held(self._reader, chain, (number for subject in subjects for number in chain.about(subject)))

    def require(self, subject: str, gates: Iterable[Gate], *, subject_name: str) -> list[Verdict]:
        """The verdicts that allow acting on ``subject``; raises Refused naming each gate that does not.

        A verdict counts only for exactly this hash under this name, under the declaration that stands now and in the
        context that the gates are in (:meth:`~ml_platform.gates.gate.Gate.within`); gates in none are a ValueError. An
        unexpired override lets a verdict pass; a missing one, or one under another declaration or context, cannot be
        overridden.
        """
        return self.require_each({subject_name: subject}, gates)[subject_name]

    def require_each(self, subjects: Mapping[str, str], gates: Iterable[Gate]) -> dict[str, list[Verdict]]:
        """:meth:`require` for many contents by name, asked at once; raises Refused for the first that is refused."""
        asked = list(gates)
        if loose := [gate.name for gate in asked if not gate.context]:
            raise ValueError(f"{', '.join(loose)}: a verdict without a context allows nothing; ask with gates in one")
        self.require_whole({name.partition("/")[0] for name in subjects})
        judged = self.judged(subjects, asked)
        return {name: allowed(name, subject, judged[name], asked) for name, subject in subjects.items()}

    def require_whole(self, owners: Collection[str]) -> None:
        """Raise Broken where the newest anchors of these datasets and models speak of another ledger, or of more."""
        chain = self._verified.follow(self._reader)
        if self._signer is not None:
            chain.require_key(self._signer.public)
        chain.require(noted(self._anchors, owners, NEWEST))

    def refused(self, prefix: str, gates: Iterable[Gate] = ()) -> dict[str, list[Verdict]]:
        """Names below ``prefix`` whose newest content is held back, with the verdicts (:meth:`judged`) that do so."""
        return self.held_back(self.newest(prefix), gates)

    def newest(self, prefix: str) -> dict[str, str]:
        """Names below ``prefix`` of which some content was judged, with the newest, whatever became of it."""
        found = list(self._verified.follow(self._reader).newest.items())
        return {name: subject for name, subject in found if name.startswith(prefix)}

    def held_back(self, subjects: Mapping[str, str], gates: Iterable[Gate] = ()) -> dict[str, list[Verdict]]:
        """Of many contents by name those that are held back, with the verdicts (:meth:`judged`) that do so.

        Read are the verdicts on those alone that did not always pass.
        """
        doubted = self._verified.follow(self._reader).doubted
        judged = self.judged({name: subject for name, subject in subjects.items() if subject in doubted}, gates)
        held = {name: [one for one in verdicts.values() if one.holds_back] for name, verdicts in judged.items()}
        return {name: verdicts for name, verdicts in held.items() if verdicts}

    def verify(self, owners: Collection[str] = ()) -> int:
        """Recompute the whole chain with every signature, and compare it with every anchor that can be reached.

        ``owners``: models beside those of the ledger whose registered versions are looked at. Returns the number of
        entries, or raises Broken at the first that is wrong.
        """
        chain = self._verified.anew(self._reader, every_signature=True)
        if self._signer is not None:
            chain.require_key(self._signer.public)
        chain.require(noted(self._anchors, self._owners(chain, owners)))
        return len(chain)

    def _owners(self, chain: Chain, more: Collection[str]) -> set[str]:
        return {name.partition("/")[0] for name in list(chain.newest)} | set(more)
