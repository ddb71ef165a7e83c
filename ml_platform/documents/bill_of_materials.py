"""The bill of materials of a version, as CycloneDX 1.6 with a model card.

The library of CycloneDX has no model cards, so the document is written here and held against the schema that the
library brings.
"""

import uuid
from typing import Any

from ml_platform.documents.dossier import Dossier, Material
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json

#: Namespace of serial numbers: equal documents have equal ones.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ml-platform:bill-of-materials")


def bill(dossier: Dossier) -> dict[str, Any]:
    """The document, as plain data."""
    reference = dossier.version.model_ref
    data = _data(dossier)
    pins = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
            "name": one.name,
            "version": one.version,
            "purl": f"pkg:pypi/{one.name}@{one.version}",
            **({"hashes": [_sha256(one.sha256[0])]} if len(one.sha256) == 1 else {}),
        }
        for one in dossier.pins or ()
    ]
    model = {
        "type": "machine-learning-model",
        "bom-ref": dossier.name,
        "name": reference.model,
        "version": str(dossier.version.version),
        "hashes": [_sha256(reference.file_hash)],
        "modelCard": _card(dossier, [one["bom-ref"] for one in data if one["bom-ref"].startswith("data:")]),
        "properties": [
            {"name": f"ml-platform:{name}", "value": str(value)}
            for name, value in {
                "split_manifest_sha256": reference.manifest_sha256,
                "code_commit": reference.provenance.code_commit,
                "lock_sha256": reference.provenance.lock_sha256,
                "python": reference.provenance.python,
                "seed": reference.seed,
                "ledger_head": dossier.version.ledger_head,
            }.items()
        ],
    }
    held = [*data, *pins]
    serial = uuid.uuid5(_NAMESPACE, canonical_json([dossier.name, reference.sha256, dossier.at]))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"timestamp": dossier.at, "component": model},
        "components": held,
        "dependencies": [{"ref": dossier.name, "dependsOn": [one["bom-ref"] for one in held]}],
    }


def require_valid(text: str) -> None:
    """Hold a document against the schema of CycloneDX 1.6. Raises PlatformError with the first mistake."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if (mistake := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        # What follows is the schema.
        why = str(mistake).strip().splitlines()[0]
        raise PlatformError(f"the bill of materials is no CycloneDX 1.6: {why}; this is a mistake of the platform")


def _card(dossier: Dossier, data: list[str]) -> dict[str, Any]:
    reference, evaluation, declared = dossier.version.model_ref, dossier.evaluation, dossier.declared
    # The standard asks for a kind, which a task of one's own has by what it predicts.
    task = "regression" if evaluation.kind().output == "value" else "classification"
    metrics = [
        {
            "type": name,
            "value": repr(value),
            **(
                {"confidenceInterval": {"lowerBound": repr(found.lower), "upperBound": repr(found.upper)}}
                if (found := evaluation.intervals.get(name))
                else {}
            ),
        }
        for name, value in sorted(evaluation.metrics.items())
    ]
    considerations = {
        key: [text]
        for key, text in (("useCases", declared["purpose"]), ("technicalLimitations", declared["limits"]))
        if text
    }
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": task,
            "architectureFamily": reference.trainer,
            "modelArchitecture": reference.format,
            "datasets": [{"ref": one} for one in data],
            "inputs": [{"format": f"{len(reference.features)} numbers (float32)"}],
            "outputs": [{"format": reference.target}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        **({"considerations": considerations} if considerations else {}),
    }


def _data(dossier: Dossier) -> list[dict[str, Any]]:
    """Batches, then files of features, each content once."""
    found: dict[str, dict[str, Any]] = {}
    for one in dossier.materials:
        for kind, sha256, commit in (
            ("data", one.batch_sha256, one.batch_commit),
            ("features", one.features_sha256, one.features_commit),
        ):
            key = f"{kind}:{sha256}"
            if key not in found:
                found[key] = _component(kind, key, one, sha256, commit)
    return sorted(found.values(), key=lambda one: (one["bom-ref"].partition(":")[0], one["name"]))


def _component(kind: str, key: str, one: Material, sha256: str, commit: str) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": key,
        "name": one.batch if kind == "data" else f"features of {one.batch}",
        "version": commit or "gone",
        "hashes": [_sha256(sha256)],
        "data": [{"type": "dataset", "name": one.label}],
        "properties": [{"name": "ml-platform:rows", "value": str(one.rows)}],
    }


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}
