"""The append-only, hash-chained record of every verdict and decision.

One table, by SQLAlchemy: SQLite on one machine, PostgreSQL by settings. Each entry carries the hash of
the one before it, so that a changed, removed or reordered entry is found by :meth:`Ledger.verify`; merges
and registered versions record the chain's head, which anchors it outside the database.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ml_platform.foundation.clock import now_utc
from ml_platform.foundation.database import engines, exclusive
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Provenance
from ml_platform.gates.gate import KINDS, Gate, Verdict
from ml_platform.ledger.chain import Entry

GENESIS = "0" * 64
LOCK = "mlpl"  # one writer at a time extends the chain
_AT_ONCE = 1000  # contents in one query: every database takes that many parameters

_tables = sa.MetaData()
_ledger = sa.Table(
    "ml_platform_ledger",
    _tables,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(80), nullable=False, index=True),
    sa.Column("subject_name", sa.String(400), nullable=False, index=True),
    sa.Column("gate", sa.String(120), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("provenance", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
)


class Broken(PlatformError):
    """The hash chain does not hold; names the first entry that is wrong."""


def _hash(row: dict[str, Any]) -> str:
    return sha256_bytes(canonical_json({name: value for name, value in row.items() if name != "hash"}))


class Ledger:
    """Append to and read from the ledger at a SQLAlchemy URL. Cheap to create; safe for many processes."""

    def __init__(self, url: str, *, actor: str = "unknown", clock: Callable[[], datetime] = now_utc) -> None:
        self._actor, self._clock = actor, clock
        self._engine, self._reader = engines(url)
        with self._engine.begin() as connection:
            exclusive(connection, LOCK)
            _tables.create_all(connection)

    def record(self, verdicts: Iterable[Verdict], *, run_id: str, provenance: Provenance) -> int:
        """Append the verdicts that say something new, in one transaction; returns how many.

        A verdict equal to the latest one of its gate on the same content, under the same declaration and
        the same code, is not repeated: judging the same thing twice is no news.
        """
        entries = [
            (
                "verdict",
                verdict.subject,
                verdict.subject_name,
                verdict.gate,
                verdict.model_dump(mode="json", exclude={"override"}),
            )
            for verdict in verdicts
        ]
        return self._append(entries, run_id=run_id, provenance=provenance)

    def decide(
        self, kind: str, *, subject: str, subject_name: str, body: dict[str, Any], run_id: str, provenance: Provenance
    ) -> int:
        """Append a decision (publication, registration, approval, promotion …); 0 where it is the latest already."""
        return self._append([(kind, subject, subject_name, "", body)], run_id=run_id, provenance=provenance)

    def override(
        self, verdict: Verdict, *, by: str, reason: str, days: int, run_id: str, provenance: Provenance
    ) -> datetime:
        """Let one content pass one gate for some days, by name and with a reason; returns when that ends.

        It holds for exactly this gate, this hash and the declaration that the verdict was given under. Raises
        PlatformError without a name or a reason, for less than a day, and for a verdict that holds nothing back.
        """
        about = f"override of {verdict.gate} on {verdict.subject_name}"
        if not by.strip() or not reason.strip():
            raise PlatformError(f"{about}: give a name and a reason")
        if days < 1:
            raise PlatformError(f"{about}: {days} days; an override holds for a day at least")
        if verdict.passed or not verdict.blocking:
            raise PlatformError(f"{about}: the gate holds nothing back ({verdict.status})")
        expires = self._clock() + timedelta(days=days)
        body = {
            "by": by,
            "because": reason,
            "expires": expires.isoformat(),
            "status": verdict.status,
            "declaration": verdict.declaration,
        }
        entry = ("override", verdict.subject, verdict.subject_name, verdict.gate, body)
        self._append([entry], run_id=run_id, provenance=provenance)
        return expires

    def adopt_overrides(
        self, other: "Ledger", subjects: Collection[str], *, run_id: str, provenance: Provenance
    ) -> int:
        """Append the overrides that another ledger has on these contents; returns how many were new here."""
        known = {(subject, gate, text) for subject, gate, text in self._bodies("override", subjects)}
        entries = [
            (entry.kind, entry.subject, entry.subject_name, entry.gate, entry.body)
            for subject in subjects
            for entry in other.entries(subject=subject, kind="override")
            if (entry.subject, entry.gate, canonical_json(entry.body)) not in known
        ]
        return self._append(entries, run_id=run_id, provenance=provenance)

    def with_overrides(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """The verdicts, those with an unexpired override marked as such, with who, until when and why."""
        given = list(verdicts)
        now = self._clock()
        held = {verdict.subject for verdict in given if verdict.blocking and not verdict.passed}
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for subject, gate, text in self._bodies("override", held):
            body = json.loads(text)
            found[subject, gate, body["declaration"]] = body

        def marked(verdict: Verdict) -> Verdict:
            body = found.get((verdict.subject, verdict.gate, verdict.declaration))
            if verdict.passed or body is None or datetime.fromisoformat(body["expires"]) <= now:
                return verdict
            text = f"overridden by {body['by']} until {body['expires'][:16]}Z: {body['because']}"
            return verdict.model_copy(update={"override": text, "reason": f"{text} ({verdict.reason})"})

        return [marked(verdict) for verdict in given]

    def _append(
        self, entries: list[tuple[str, str, str, str, dict[str, Any]]], *, run_id: str, provenance: Provenance
    ) -> int:
        origin = canonical_json(provenance.model_dump())
        written = 0
        with self._engine.begin() as connection:
            exclusive(connection, LOCK)
            last = connection.execute(
                sa.select(_ledger.c.sequence, _ledger.c.hash).order_by(_ledger.c.sequence.desc()).limit(1)
            ).first()
            sequence, previous = (last.sequence, last.hash) if last else (0, GENESIS)
            for kind, subject, subject_name, gate, body in entries:
                text = canonical_json(body)
                latest = connection.execute(
                    sa.select(_ledger.c.body, _ledger.c.provenance, _ledger.c.subject)
                    .where(_ledger.c.kind == kind, _ledger.c.subject_name == subject_name, _ledger.c.gate == gate)
                    .order_by(_ledger.c.sequence.desc())
                    .limit(1)
                ).first()
                known = latest is not None and latest.subject == subject and latest.provenance == origin
                if latest is not None and known and _same(latest.body, text):
                    continue
                sequence += 1
                row = {
                    "sequence": sequence,
                    "at": now_utc().isoformat(),
                    "kind": kind,
                    "subject": subject,
                    "subject_name": subject_name,
                    "gate": gate,
                    "body": text,
                    "provenance": origin,
                    "run_id": run_id,
                    "actor": self._actor,
                    "previous": previous,
                }
                previous = row["hash"] = _hash(row)
                connection.execute(_ledger.insert().values(**row))
                written += 1
        return written

    def head(self) -> str:
        """Hash of the newest entry; the genesis hash for an empty ledger."""
        with self._reader.connect() as connection:
            newest = connection.execute(sa.select(_ledger.c.hash).order_by(_ledger.c.sequence.desc()).limit(1)).scalar()
        return newest or GENESIS

    def entries(
        self,
        *,
        subject: str | None = None,
        subject_name: str | None = None,
        kind: str | None = None,
        newest: int | None = None,
    ) -> list[Entry]:
        """Entries in order; ``newest`` keeps the last N. ``subject_name`` may end in ``%``."""
        query = sa.select(_ledger)
        if subject is not None:
            query = query.where(_ledger.c.subject == subject)
        if subject_name is not None:
            query = query.where(_ledger.c.subject_name.like(subject_name))
        if kind is not None:
            query = query.where(_ledger.c.kind == kind)
        if newest is not None:
            query = query.order_by(_ledger.c.sequence.desc()).limit(newest)
        else:
            query = query.order_by(_ledger.c.sequence)
        with self._reader.connect() as connection:
            rows = connection.execute(query).mappings().all()
        found = [_entry(dict(row)) for row in rows]
        return found[::-1] if newest is not None else found

    def verdicts(self, subject: str) -> dict[str, Verdict]:
        """The latest verdict of each gate on a content hash, overridden ones marked."""
        return self.judged([subject])[subject]

    def judged(self, subjects: Iterable[str]) -> dict[str, dict[str, Verdict]]:
        """:meth:`verdicts` of many contents. The number of queries does not grow with theirs (but for very many)."""
        wanted = list(dict.fromkeys(subjects))
        texts = {(subject, gate): text for subject, gate, text in self._bodies("verdict", wanted)}
        found: dict[str, dict[str, Verdict]] = {subject: {} for subject in wanted}
        for verdict in self.with_overrides(Verdict.model_validate_json(text) for text in texts.values()):
            found[verdict.subject][verdict.gate] = verdict
        return found

    def _bodies(self, kind: str, subjects: Collection[str]) -> list[tuple[str, str, str]]:
        """Subject, gate and body of the entries of a kind about these contents, in order."""
        rows: list[tuple[str, str, str]] = []
        wanted = list(subjects)
        if not wanted:
            return rows
        with self._reader.connect() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                query = (
                    sa.select(_ledger.c.subject, _ledger.c.gate, _ledger.c.body)
                    .where(_ledger.c.kind == kind, _ledger.c.subject.in_(wanted[start : start + _AT_ONCE]))
                    .order_by(_ledger.c.sequence)
                )
                rows.extend((row.subject, row.gate, row.body) for row in connection.execute(query))
        return rows

    def require(self, subject: str, gates: Iterable[Gate], *, subject_name: str) -> list[Verdict]:
        """The verdicts that allow acting on ``subject``; raises Refused naming each gate that does not.

        A verdict counts only for exactly this hash and under the declaration that stands now. An unexpired override
        lets a verdict pass; a missing one, or one under another declaration, cannot be overridden.
        """
        return self.require_each({subject_name: subject}, gates)[subject_name]

    def require_each(self, subjects: Mapping[str, str], gates: Iterable[Gate]) -> dict[str, list[Verdict]]:
        """:meth:`require` for many contents by name, asked at once; raises Refused for the first that is refused."""
        asked = list(gates)
        judged = self.judged(subjects.values())
        return {name: _allowed(name, subject, judged[subject], asked) for name, subject in subjects.items()}

    def refused(self, prefix: str) -> dict[str, list[Verdict]]:
        """Names below ``prefix`` whose newest content is held back, with the verdicts that do so."""
        query = (
            sa.select(_ledger.c.subject_name, _ledger.c.subject)
            .where(_ledger.c.kind == "verdict", _ledger.c.subject_name.like(f"{prefix}%"))
            .order_by(_ledger.c.sequence)
        )
        with self._reader.connect() as connection:
            newest = {row.subject_name: row.subject for row in connection.execute(query)}
        judged = self.judged(newest.values())
        held = {
            name: [verdict for verdict in judged[subject].values() if verdict.holds_back]
            for name, subject in newest.items()
        }
        return {name: verdicts for name, verdicts in held.items() if verdicts}

    def verify(self) -> int:
        """Recompute the whole chain; returns the number of entries or raises Broken at the first wrong one."""
        previous, count = GENESIS, 0
        with self._reader.connect() as connection:
            for row in connection.execute(sa.select(_ledger).order_by(_ledger.c.sequence)).mappings():
                count += 1
                if row["sequence"] != count:
                    raise Broken(
                        f"ledger: entry {count} is missing (found {row['sequence']}); restore it from a backup"
                    )
                if row["previous"] != previous or row["hash"] != _hash(dict(row)):
                    raise Broken(f"ledger: entry {count} was changed after it was written; restore it from a backup")
                previous = row["hash"]
        return count


def _allowed(name: str, subject: str, known: Mapping[str, Verdict], gates: Iterable[Gate]) -> list[Verdict]:
    """The verdicts of these gates on one content. Raises Refused, see :meth:`Ledger.require`."""
    #: Gate and status to the reason, where there is one.
    problems: dict[str, str] = {}
    found: list[Verdict] = []
    for gate in gates:
        verdict = known.get(gate.name)
        if verdict is None:
            if gate.blocking:
                problems[f"{gate.name} missing"] = ""
            continue
        if verdict.declaration != gate.declaration and gate.blocking:
            problems[f"{gate.name} judged under another declaration"] = ""
        elif verdict.holds_back:
            problems[f"{gate.name} {verdict.status.replace('_', ' ')}"] = verdict.reason
        found.append(verdict)
    if problems:
        told = [f"{problem}: {reason}" if reason else problem for problem, reason in problems.items()]
        raise Refused(
            f"{name} ({subject[:12]}) is refused by its gates: {'; '.join(told)}. Correct it and run its checks again.",
            because=", ".join(problems),
        )
    return found


def _same(left: str, right: str) -> bool:
    """Equal but for what differs from run to run: ``details`` (timings, samples), and what a clock measured."""

    def essence(text: str) -> Any:
        body = json.loads(text)
        judged = KINDS.get(str(body.get("gate")))
        varying = {"details", "reason", "observed"} if judged and judged.timed else {"details", "reason"}
        return {name: value for name, value in body.items() if name not in varying}

    return left == right or essence(left) == essence(right)


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        **{
            **row,
            "at": datetime.fromisoformat(row["at"]).astimezone(UTC),
            "body": json.loads(row["body"]),
            "provenance": Provenance.model_validate_json(row["provenance"]),
        }
    )
