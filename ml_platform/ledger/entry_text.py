"""The text of an entry: what its hash is of, and what a verdict says at a glance: a cold start parses none."""

from hashlib import sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

#: Columns of a row in the order in which whole chains are read.
COLUMNS = (
    *("sequence", "at", "kind", "subject", "subject_name", "gate", "body", "provenance", "run_id", "actor"),
    *("previous", "hash", "signature"),
)
#: Values of :data:`COLUMNS`: a number, texts, and None for an entry without a signature.
Row = tuple[Any, ...]
_STATUS, _PASSED = '"status":', '"status":"passed"'


def digest(row: Any) -> str:
    """Hash of an entry: of the canonical JSON of all columns but the hash and its signature.

    Empty, so that of no row, where a column holds something else than text.
    """
    if not all(isinstance(row[name], str) for name in COLUMNS[1:-2]):
        return ""
    texts = {name: quoted(row[name]) for name in COLUMNS[1:-2]}
    return sha256(canonical(row["sequence"], **texts).encode()).hexdigest()


def canonical(
    sequence: int,
    at: str,
    kind: str,
    subject: str,
    subject_name: str,
    gate: str,
    body: str,
    provenance: str,
    run_id: str,
    actor: str,
    previous: str,
) -> str:
    """Canonical JSON of an entry from its quoted texts."""
    # Written out, since whole ledgers are hashed and json.dumps takes several times as long.
    return (
        f'{{"actor":{actor},"at":{at},"body":{body},"gate":{gate},"kind":{kind},"previous":{previous},'
        f'"provenance":{provenance},"run_id":{run_id},"sequence":{sequence},"subject":{subject},'
        f'"subject_name":{subject_name}}}'
    )


def plainly_passed(body: str) -> bool:
    """Whether the JSON of a verdict says that it passed, without doubt.

    Within a text of JSON a quote has a backslash before it, so that a key is found where it is one. Where there are
    several, such as among the details, or where it is written with spaces, the answer is no.
    """
    return _PASSED in body and body.count(_STATUS) == 1
