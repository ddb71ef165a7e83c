"""What Dagster shows of the assets: columns, rows, lineage, links; and what it shows as stale after an edit."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.features.contract import feature_names
from ml_platform_tests.orchestration.staleness import stale
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET as NAME
from ml_platform_tests.shop_project import FEATURES, FEBRUARY, JANUARY, MODEL, SHOP, declared, gates, new_project

BATCH, DATASET = f"{NAME}/batch", f"{NAME}/dataset"
STEPS = ("split", "model", "evaluation", "registered_model")
OWN = "own_features"
#: What that module has beside the features of the shop: one that is always the same, and one of a private column.
ADDED = (
    ('"product", "channel", "depot", "price",', '"customer", "product", "channel", "depot", "price",'),
    ('"weekday", "price",', '"weekday", "always", "price",'),
    ('pl.col("day").dt.weekday()', 'pl.lit(1.0).alias("always"), pl.col("day").dt.weekday()'),
    (
        "histories = (",
        'histories = (HistoricalMean("return_rate_customer", of="returned", by=("customer",), prior=20),',
    ),
)
LENIENT = gates(performance={"min": 0.5}, baseline={"min": -0.9})


def catalogue(**dataset: object) -> Catalogue:
    """Features of a module of its own, a model of two months."""
    return declared(dataset=dataset, features={"function": f"{OWN}:features"}, models={MODEL: {"gates": LENIENT}})


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A feature module of its own, which may be edited."""
    folder = tmp_path_factory.mktemp("user")
    file = folder / f"{OWN}.py"
    text = (SHOP / "src" / "grocery" / "defs" / "purchases" / "features.py").read_text()
    for old, new in ADDED:
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield file
    sys.path.remove(str(folder))
    sys.modules.pop(OWN, None)


@pytest.fixture(scope="module")
def project(module: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two months and a registered model on features of that module."""
    arrived = (JANUARY, FEBRUARY)
    project = new_project(tmp_path_factory.mktemp("shown") / "project", catalogue(), arrived=arrived)
    assert project.ingest(JANUARY, FEBRUARY).success
    outcome = project.materialize(*(f"{MODEL}/{step}" for step in STEPS), checks=None)
    assert outcome.success, outcome.error
    return project


def shown(project: Project, asset: str, partition: str | None = None) -> Mapping[str, dg.MetadataValue]:
    """Metadata of the newest materialization."""
    return project.materializations(asset, partition)[-1].metadata


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY])
@pytest.mark.parametrize("asset", [BATCH, DATASET, FEATURES])
def test_rows_commit_and_columns_of_every_partition(project: Project, asset: str, month: str) -> None:
    metadata, reference = shown(project, asset, month), project.reference(asset, month)
    assert metadata["dagster/row_count"].value == reference.rows == 1500
    assert metadata["sha256"].value == reference.sha256
    assert metadata["commit"].value == reference.commit
    assert reference.commit in str(metadata["store"].value)
    schema = metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    names = [column.name for column in schema.columns]
    if asset == FEATURES:
        assert names == list(feature_names(project.context().function))
        about = {column.name: column.description or "" for column in schema.columns}
        assert about["weekday"] == "From day" and all(about.values())
        assert about["return_rate_product"].startswith("Past mean of returned by product")
    else:
        columns = {column.name: column for column in schema.columns}
        assert set(names) == set(project.batches.original(month).columns)
        assert "known afterwards" in (columns["returned"].description or "")
        assert columns["weight"].constraints.nullable and not columns["day"].constraints.nullable


def test_lineage_of_columns(project: Project) -> None:
    lineage = shown(project, FEATURES, FEBRUARY)["dagster/column_lineage"].value
    assert isinstance(lineage, dg.TableColumnLineage)
    sources = {name: {dep.column_name for dep in deps} for name, deps in lineage.deps_by_column.items()}
    keys = {dep.asset_key for deps in lineage.deps_by_column.values() for dep in deps}
    assert keys == {dg.AssetKey(DATASET.split("/"))}
    assert sources["weight"] == {"weight"}
    assert sources["weekday"] == {"day"}
    assert sources["value"] == {"price", "quantity"}
    assert sources["return_rate_product"] == {"product", "day", "returned"}
    assert sources["hours_depot"] == {"depot", "day", "delivery_days"}
    assert constant_in(project) == {"always"}
    assert set(sources) == set(feature_names(project.context().function)) - constant_in(project)


def constant_in(project: Project) -> set[str]:
    """Features of February that say nothing: no lineage can be observed for them."""
    from ml_platform.datasets import batches

    with project.active() as workspace:
        frame = batches.read(workspace.store, project.reference(FEATURES, FEBRUARY))
    return {name for name in feature_names(project.context().function) if frame[name].n_unique() < 2}


def test_links_of_a_model(project: Project) -> None:
    model, report = project.reference(f"{MODEL}/model"), project.reference(f"{MODEL}/evaluation")
    assert shown(project, f"{MODEL}/model")["mlflow_run"].value == model.mlflow_run_id
    metadata = shown(project, f"{MODEL}/evaluation")
    file = Path(str(metadata["report_file"].value))
    assert file.is_file() and file.is_relative_to(project.folder) and str(file).endswith(f"/{report.html}")
    assert metadata["report"] == dg.MetadataValue.url(f"http://127.0.0.1:3001/{Path(report.html).name}")
    assert metadata["auc"].value == pytest.approx(report.metrics["auc"])
    manifest = shown(project, f"{MODEL}/split")["partitions"]
    assert isinstance(manifest, dg.TableMetadataValue)
    assert [record.data["partition"] for record in manifest.records] == [JANUARY, FEBRUARY]
    for asset in ("model", "evaluation", "registered_model"):
        assert shown(project, f"{MODEL}/{asset}")["code_commit"].value


def test_evidentlys_report_is_linked_and_shows_no_customer(project: Project) -> None:
    made = project.execute(f"{MODEL}_drift")
    assert made.success, made.error
    assert {asset for asset, _ in made.materialized} == {f"{MODEL}/drift"}
    metadata = shown(project, f"{MODEL}/drift")
    file = Path(str(metadata["report_file"].value))
    assert metadata["report"] == dg.MetadataValue.url(f"http://127.0.0.1:3001/{file.name}")
    html = file.read_text()
    assert "quantity" in html and "customer" not in html and "@example.org" not in html
    assert 0 <= float(str(metadata["share_drifted"].value)) <= 1
    whole = project.definitions.resolve_job_def("whole_loop").asset_layer
    assert dg.AssetKey([MODEL, "drift"]) not in whole.executable_asset_keys


def test_every_asset_has_an_owner_a_description_and_a_code_version(project: Project) -> None:
    graph = project.definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description and node.owners and node.code_version and node.kinds, key
    for key in graph.asset_check_keys:
        assert graph.get(key).description, key


def test_an_edit_of_the_features_makes_them_stale_and_then_what_follows(project: Project, module: Path) -> None:
    assert stale(project, FEBRUARY) == {}
    text = module.read_text()
    module.write_text(text.replace("half_life_days=7", "half_life_days=6"))
    assert module.read_text() != text
    edited = project.variant(catalogue())
    found = stale(edited, FEBRUARY)
    # Dagster shows as stale what has to be made again now; the rest becomes so when that is done.
    assert found == {name: {"has a new code version"} for name in (FEATURES, f"{MODEL}/split")}

    # What Dagster shows, the split refuses: the old features are not those of this code.
    importlib.reload(sys.modules[OWN])
    refused = edited.materialize(f"{MODEL}/split")
    assert "Stale" in refused.error and "its code or history_lag changed" in refused.error

    assert edited.ingest(JANUARY, FEBRUARY).success
    for done, following in zip(STEPS, [*STEPS[1:], "drift"], strict=True):
        made = edited.materialize(f"{MODEL}/{done}", checks=None)
        assert made.success, made.error
        assert list(stale(edited, FEBRUARY)) == [f"{MODEL}/{following}"]


def test_a_changed_threshold_makes_the_dataset_stale(project: Project) -> None:
    declared_gates = project.catalogue.dataset(NAME).gates
    stricter = [
        {
            **gate.model_dump(exclude_none=True, exclude_defaults=True),
            **({"max": 0.3} if gate.gate == "missing" else {}),
        }
        for gate in declared_gates
    ]
    changed = stale(project.variant(catalogue(gates=stricter)), FEBRUARY)
    assert "has a new code version" in changed[DATASET]
    assert BATCH not in changed
