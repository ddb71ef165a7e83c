"""Statements about a version that others can check without this platform: in-toto, in envelopes of DSSE.

A training is a statement of SLSA provenance v1, a verdict one of in-toto's test result v0.1, a decision has a type of
the platform's own. The content that each is about is its subject, by sha256. Written out, since these are a few keys of
JSON; signed by the key of the ledger.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_platform.documents.dossier import Dossier
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.ledger.kinds import LOOSENING

if TYPE_CHECKING:
    from ml_platform.ledger.chain import Entry
    from ml_platform.ledger.signing import Signer

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
TRAINING = "https://slsa.dev/provenance/v1"
VERDICT = "https://in-toto.io/attestation/test-result/v0.1"
DECISION = "urn:ml-platform:decision:1"
#: Of what a pack is whole, and the ledger that it was written from.
PACK = "urn:ml-platform:evidence-pack:1"
#: What a statement on a training describes, raised when its keys change.
BUILD = "urn:ml-platform:training:1"

#: Status of a verdict to a result of the test-result predicate. Without enough rows, or in error, nothing was passed.
_RESULTS = {"passed": "PASSED", "failed": "FAILED", "not_enough_support": "FAILED", "errored": "FAILED"}


def statements(dossier: Dossier) -> Iterator[dict[str, Any]]:
    """The training, then each verdict and each decision in the order of the ledger."""
    yield _training(dossier)
    for entry in dossier.verdicts:
        yield _verdict(entry)
    for entry in dossier.decisions:
        yield _statement(entry.subject_name, entry.subject, DECISION, _told(entry, kind=entry.kind, **entry.body))


def whole(dossier: Dossier, files: Mapping[str, str], said: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a pack consists of, each file (name to sha256) and each statement: none can be left out unnoticed."""
    digests = [{"sha256": sha256_bytes(canonical_json(one))} for one in said]
    gaps = [_told(entry, **entry.body) for entry in dossier.gaps]
    loosened = [_told(entry, **entry.body) for entry in dossier.decisions if entry.kind == LOOSENING]
    anchor = dossier.ledger
    ledger = {"head": anchor.head, "length": anchor.length, "key": anchor.key, "signedSince": dossier.signed_since}
    subjects = [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(files.items())]
    predicate = {"version": dossier.name, "ledger": ledger, "gaps": gaps, "loosenings": loosened, "statements": digests}
    found = {"_type": STATEMENT, "subject": subjects, "predicateType": PACK, "predicate": predicate}
    return json.loads(canonical_json(found))


def envelope(statement: dict[str, Any], signer: "Signer | None") -> dict[str, Any]:
    """A statement in an envelope of DSSE v1; without a key it has no signatures, and proves nothing."""
    payload = canonical_json(statement).encode()
    signatures: list[dict[str, str]] = []
    if signer is not None:
        signed = signer.sign_bytes(pre_authentication(PAYLOAD, payload))
        signatures.append({"keyid": key_id(signer.public), "sig": base64.b64encode(signed).decode()})
    return {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD, "signatures": signatures}


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """What is signed: the pre-authentication encoding of DSSE v1."""
    return b" ".join((b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload))


def key_id(public: str) -> str:
    """How signatures name a public key (32 bytes in base64): its sha256."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()


def _training(dossier: Dossier) -> dict[str, Any]:
    reference, code = dossier.version.model_ref, dossier.version.model_ref.provenance
    data = [
        {
            "name": f"{one.batch} ({one.part})",
            "digest": {"sha256": one.batch_sha256},
            "uri": f"commit:{one.batch_commit}",
        }
        for one in dossier.materials
    ]
    features = [
        {
            "name": f"features of {one.batch}",
            "digest": {"sha256": one.features_sha256},
            "uri": f"commit:{one.features_commit}",
        }
        for one in dossier.materials
    ]
    source = {"name": "code", "digest": {"gitCommit": code.code_commit}, "annotations": {"dirty": code.dirty}}
    lock = {"name": "dependency lock", "digest": {"sha256": code.lock_sha256}}
    definition = {
        "buildType": BUILD,
        "externalParameters": {
            "model": reference.model,
            "task": reference.task,
            "target": reference.target,
            "features": list(reference.features),
            "trainer": reference.trainer,
            "parameters": reference.parameters,
            "seed": reference.seed,
        },
        "internalParameters": {"python": code.python, "split_manifest_sha256": reference.manifest_sha256},
        "resolvedDependencies": [*data, *features, source, lock],
    }
    run = {"builder": {"id": "urn:ml-platform"}, "metadata": {"invocationId": reference.run_id}}
    return _statement(dossier.name, reference.file_hash, TRAINING, {"buildDefinition": definition, "runDetails": run})


def _verdict(entry: "Entry") -> dict[str, Any]:
    body = entry.body
    passed = body["status"] == "passed"
    result = _RESULTS[body["status"]] if body["blocking"] or passed else "WARNED"
    found = {key: body.get(key) for key in ("status", "observed", "threshold", "reason", "support")}
    configuration = [{"name": "declaration of the gate", "digest": {"sha256": body["declaration"]}}]
    if context := body.get("context"):
        configuration.append({"name": "context", "digest": {"sha256": context}})
    told = _told(entry, result=result, configuration=configuration)
    told[{"PASSED": "passedTests", "WARNED": "warnedTests"}.get(result, "failedTests")] = [entry.gate]
    told["annotations"] = {**told["annotations"], **found, "compared": body.get("compared", {})}
    return _statement(entry.subject_name, entry.subject, VERDICT, told)


def _told(entry: "Entry", **facts: Any) -> dict[str, Any]:
    place = {"sequence": entry.sequence, "hash": entry.hash, "at": entry.at.isoformat(), "run": entry.run_id}
    return {**facts, "annotations": {"ledger": place}}


def _statement(name: str, sha256: str, kind: str, predicate: dict[str, Any]) -> dict[str, Any]:
    subject = [{"name": name, "digest": {"sha256": sha256}}]
    found = {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}
    return json.loads(canonical_json(found))
