"""What a version is made of is in its bill of materials: whatever changes, the bill does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ml_platform.documents.bill_of_materials import bill, require_valid
from ml_platform.documents.dossier import Dossier, Material, Pin
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json
from ml_platform.ledger.chain import GENESIS, Anchor
from ml_platform.references.refs import VersionRef
from ml_platform_tests.evaluation.fitted import OLDER, SPLIT, fitted, measured

MODEL = fitted(SPLIT).reference
VERSION = VersionRef(
    run_id="r",
    provenance=MODEL.provenance,
    model=MODEL.model,
    version=3,
    sha256=MODEL.sha256,
    mlflow_run_id=MODEL.mlflow_run_id,
    approval="approved",
    ledger_head="0" * 64,
    model_ref=MODEL,
)
JANUARY = Material("train", "January", 100, "flights/2013-01-01", "1" * 64, "c" * 40, "2" * 64, "d" * 40)
JUNE = Material("holdout", "June", 90, "flights/2013-06-01", "3" * 64, "", "4" * 64, "d" * 40)
ENTRY: Any = SimpleNamespace(at=datetime(2024, 1, 1, tzinfo=UTC))
DOSSIER = Dossier(
    ledger=Anchor(GENESIS, 0),
    version=VERSION,
    evaluation=measured(SPLIT, OLDER)[0],
    card="",
    materials=(JANUARY, JUNE, JANUARY),
    verdicts=(ENTRY,),
    decisions=(),
    packages=("5" * 64,),
    pins=(Pin("polars", "2.1.0", ("6" * 64,)), Pin("numpy", "2.2.0", ("7" * 64, "8" * 64))),
    declared={"purpose": "Says what is late.", "limits": ""},
)


def component(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (one for one in found["components"] if one["name"] == name)
    return one


def test_model_data_and_packages_are_listed_once_each() -> None:
    found = bill(DOSSIER)
    require_valid(canonical_json(found))
    assert [(one["type"], one["name"]) for one in found["components"]] == [
        ("data", "flights/2013-01-01"),
        ("data", "flights/2013-06-01"),
        ("data", "features of flights/2013-01-01"),
        ("data", "features of flights/2013-06-01"),
        ("library", "polars"),
        ("library", "numpy"),
    ]
    assert component(found, "flights/2013-06-01")["version"] == "gone"
    # Of several files of a package nobody can say which was installed.
    assert component(found, "polars")["hashes"] and "hashes" not in component(found, "numpy")
    model = found["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": MODEL.file_hash}] and model["version"] == "3"
    assert model["modelCard"]["modelParameters"]["task"] == "classification"
    assert model["modelCard"]["considerations"] == {"useCases": ["Says what is late."]}
    assert found["dependencies"] == [
        {"ref": f"{MODEL.model}@3", "dependsOn": [one["bom-ref"] for one in found["components"]]}
    ]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda it: replace(it, pins=(Pin("polars", "2.1.1"), it.pins[1])), "pkg:pypi/polars@2.1.1"),
        (lambda it: replace(it, pins=(*it.pins, Pin("scipy", "1.17.1"))), "pkg:pypi/scipy@1.17.1"),
        (lambda it: replace(it, pins=(Pin("polars", "2.1.0", ("9" * 64,)), it.pins[1])), "9" * 64),
        (lambda it: replace(it, materials=(JANUARY._replace(batch_sha256="a" * 64), JUNE)), f"data:{'a' * 64}"),
        (lambda it: replace(it, materials=(JANUARY._replace(features_sha256="b" * 64), JUNE)), f"features:{'b' * 64}"),
        (lambda it: with_model(it, sha256="e" * 64), "e" * 64),
        (lambda it: with_model(it, seed=7), '"ml-platform:seed","value":"7"'),
        (lambda it: with_model(it, trainer="sklearn"), '"architectureFamily":"sklearn"'),
        (lambda it: replace(it, declared={"purpose": "", "limits": "New York only."}), "New York only."),
    ],
)
def test_what_changed_of_a_version_is_in_its_bill(change: Callable[[Dossier], Dossier], shown: str) -> None:
    before, after = canonical_json(bill(DOSSIER)), canonical_json(bill(change(DOSSIER)))
    assert shown in after and shown not in before
    require_valid(after)


def with_model(dossier: Dossier, **changes: Any) -> Dossier:
    model = dossier.version.model_ref.model_copy(update=changes)
    return replace(dossier, version=dossier.version.model_copy(update={"model_ref": model}))


def test_a_lock_that_is_not_here_any_more_leaves_the_packages_out() -> None:
    found = bill(replace(DOSSIER, pins=None))
    assert {one["type"] for one in found["components"]} == {"data"}


def test_equal_knowledge_has_an_equal_serial_number_and_other_another() -> None:
    first = bill(DOSSIER)["serialNumber"]
    assert bill(DOSSIER)["serialNumber"] == first
    assert bill(with_model(DOSSIER, sha256="e" * 64))["serialNumber"] != first


def test_a_document_that_is_none_is_a_mistake_of_the_platform() -> None:
    found = bill(DOSSIER)
    del found["metadata"]["component"]["name"]
    with pytest.raises(PlatformError, match=r"is no CycloneDX 1\.6: .*; this is a mistake of the platform$"):
        require_valid(canonical_json(found))
