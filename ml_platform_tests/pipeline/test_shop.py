"""The shop that other tests use: its months are always the same, and it goes through the loop as declared."""

from pathlib import Path

import polars as pl

from ml_platform.cli.validate import validate_project
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.project import current_project
from ml_platform_tests.moving import left_behind
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    JANUARY,
    MODELS,
    MONTHS,
    SHOP,
    copy_of,
    declared,
    everything,
    folder_of,
    new_project,
    registered,
)


def test_months_are_the_same_each_time_and_differ_from_each_other() -> None:
    from grocery.made_up import BROKEN, purchases

    january = purchases(JANUARY)
    assert january.equals(purchases(JANUARY))
    assert not january["price"].equals(purchases(APRIL)["price"])
    assert not january["price"].equals(purchases(JANUARY, seed=1)["price"])
    assert january.filter(pl.col("quantity") == 0).height == BROKEN
    assert january.select("order_id", "line").is_unique().all()
    assert january["weight"].null_count() > 0 and january["returned"].null_count() > 0


def test_the_folder_is_a_project(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(folder_of(tmp_path / "shop")))
    monkeypatch.syspath_prepend(str(SHOP / "src"))
    caches = (current_project, project_catalogue)
    for cached in caches:
        cached.cache_clear()
    try:
        assert validate_project() == 0
        assert capsys.readouterr().out == "4 declarations and 50 gates are in order\n"
    finally:
        for cached in caches:
            cached.cache_clear()


def test_every_gate_as_declared_lets_it_pass(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", everything(), arrived=MONTHS[:4], broken=4)
    outcome = project.ingest(JANUARY, APRIL)
    assert outcome.success, outcome.error
    steps = ("split", "model", "evaluation", "registered_model")
    outcome = project.materialize(*(f"{model}/{step}" for model in MODELS for step in steps), checks=None)
    assert not [(name, event.description) for (_, _, name), event in outcome.checks.items() if not event.passed]
    assert outcome.success, outcome.error
    assert list(project.published()) == list(MONTHS[:4])
    aside = project.verdicts(f"{DATASET}/batch/{JANUARY}")["quarantine"]
    assert aside.passed and aside.observed == 4 / 1500
    assert project.holdings().versions == {model: [1] for model in MODELS}


def test_a_copy_of_what_is_registered_stands_by_itself(tmp_path: Path, tmp_path_factory) -> None:
    original = registered(tmp_path_factory.getbasetemp())
    project = copy_of(original, tmp_path / "copy", declared(models={model: {} for model in MODELS}))
    assert left_behind(project.folder, str(original)) == []
    before = project.holdings()
    with project.active() as workspace:
        for model in MODELS:
            reference = workspace.registry.get(model, 1).model_ref
            assert workspace.tracking.model_path(reference).is_relative_to(project.folder)
    outcome = project.materialize(*(f"{model}/{step}" for model in MODELS for step in ("split", "model")))
    assert outcome.success, outcome.error
    assert project.holdings().versions == before.versions
    assert project.holdings().mlflow_runs == before.mlflow_runs, "what was trained there is adopted here"
