"""A table without time: one partition, rows held out by their group, each delivery compared with the one before."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.mistakes import problems
from ml_platform.declarations.model import ModelSpec
from ml_platform.features import parts
from ml_platform.foundation.errors import PlatformError
from ml_platform.pipeline.drift import observe
from ml_platform.pipeline.release import holdout_sample
from ml_platform.pipeline.steps import frames
from ml_platform.proving.scratch import require_time
from ml_platform.sources.partitions import WHOLE
from ml_platform_tests.conftest import ports
from ml_platform_tests.project import Batches, Project
from ml_platform_tests.several import several
from ml_platform_tests.shop_project import SHOP

FOLDER = "PASSENGERS_FOLDER"
SCHEMA = """
import pandera.polars as pa


class Passengers(pa.DataFrameModel):
    passenger: int = pa.Field(ge=0)
    family: int = pa.Field(ge=0)
    sex: str = pa.Field(isin=["female", "male"])
    fare: float = pa.Field(ge=0)
    survived: int = pa.Field(isin=[0, 1], metadata={"outcome": True})

    class Config:
        strict = True
'''
CODE = '''
import polars as pl
"""
CODE = """
import polars as pl


class Features:
    inputs = ("passenger", "family", "sex", "fare")
    time = ""
    key = ("passenger",)
    columns = ("female", "fare")
    histories = ()
    labels = ("survived",)
    slices = ("family", "sex")

    def rows(self, raw):
        return raw.with_columns(female=pl.col("sex") == "female")

    def outcomes(self, raw):
        return raw.select()

    def targets(self, raw):
        return raw.select(pl.col("survived").cast(pl.Int8))


features = Features()
"""
DATASET: dict[str, Any] = {
    "name": "passengers",
    "source": {"kind": "folder", "path": f"${FOLDER}"},
    "schema": "passengers_schema:Passengers",
    "partitions": "none",
    "key": ["passenger"],
    "gates": [
        {"gate": "schema"},
        {"gate": "volume", "min": 0.5, "max": 2},
        {"gate": "distribution", "metric": "psi", "columns": ["fare"], "max": 0.5},
    ],
}
FEATURES: dict[str, Any] = {
    "dataset": "passengers",
    "function": "passengers_code:features",
    "gates": [{"gate": "ranges"}, {"gate": "leakage"}, {"gate": "parity"}],
}
MODEL: dict[str, Any] = {
    "name": "survived",
    "features": "passengers/features",
    "target": "survived",
    "task": "binary",
    "decision_threshold": 0.5,
    "split": {"holdout": 0.25, "group": ["family"]},
    "parameters": {"rounds": 20, "max_depth": 3, "eta": 0.2, "seed": 7},
    "drift": {"psi": 0.25, "share": 0.3, "partitions": 2, "window": 3},
    "gates": [
        {"gate": "disjoint"},
        {"gate": "performance", "metric": "auc", "min": 0.6},
        {"gate": "confidence", "metric": "auc", "min": 0.52},
        {"gate": "champion", "metric": "auc", "mode": "non_inferior", "min": -0.1},
        {"gate": "trained_on"},
    ],
}
#: Gates on the package and on what answers.
SERVED: list[dict[str, Any]] = [
    {"gate": "servability"},
    {"gate": "skew", "max": 0},
    {"gate": "bad_input"},
    {"gate": "health"},
]
STEPS = tuple(f"survived/{step}" for step in ("split", "model", "evaluation", "registered_model"))


def table(rows: int = 1_200, first: int = 0) -> pl.DataFrame:
    """Passengers in families of up to four; women survive more often, and fares do not change."""
    import numpy as np

    random = np.random.default_rng(first)
    sex = random.choice(["female", "male"], rows)
    return pl.DataFrame(
        {
            "passenger": np.arange(first, first + rows),
            "family": random.integers(0, rows // 3, rows) + first,
            "sex": sex,
            "fare": random.gamma(2, 15, rows).round(2),
            "survived": (random.random(rows) < np.where(sex == "female", 0.75, 0.2)).astype(int),
        }
    )


class Ships(Batches):
    """What has been delivered: files of one table."""

    def original(self, month: str) -> pl.DataFrame:
        """The rows of a file."""
        return table(first=int(month))


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "passengers_code.py").write_text(CODE)
    (folder / "passengers_schema.py").write_text(SCHEMA)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(folder))
    for name in ("passengers_code", "passengers_schema"):
        sys.modules.pop(name, None)


def catalogue(**changes: Any) -> Catalogue:
    specs = [DatasetSpec.model_validate(DATASET), FeatureSpec.model_validate(FEATURES)]
    return Catalogue.of([*specs, ModelSpec.model_validate({**MODEL, **changes})])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The first table through the loop, up to a champion."""
    folder = tmp_path_factory.mktemp("passengers")
    project = Project(
        folder,
        Ships(folder / "source", folder),
        catalogue(),
        dg.DagsterInstance.ephemeral(),
        dataset="passengers",
        model="survived",
        variable=FOLDER,
    )
    project.batches.deliver("0")
    outcome = project.ingest(WHOLE)
    assert outcome.success, outcome.error
    outcome = project.materialize(*STEPS, checks=None)
    assert outcome.success, outcome.error
    with project.active() as workspace:
        workspace.registry.set_alias("survived", "champion", 1)
    return project


@pytest.fixture(scope="module")
def second(first: Project) -> Project:
    """Further passengers, delivered beside the first; the model is trained again."""
    first.batches.deliver("1200")
    assert first.ingest(WHOLE).success
    outcome = first.materialize(*STEPS, checks=None)
    assert outcome.success, outcome.error
    return first


def test_no_family_is_in_training_and_holdout(first: Project) -> None:
    split = first.reference("survived/split")
    with first.active() as workspace:
        train, holdout = (pl.concat(frames(workspace.store, part)) for part in (split.train, split.holdout))
    assert not {*train["family"]} & {*holdout["family"]}
    assert train.height + holdout.height == 1_200 and 0.18 < holdout.height / 1_200 < 0.32


def test_every_gate_was_asked_and_passed(first: Project) -> None:
    verdicts = {
        **first.verdicts("passengers/batch/all"),
        **first.verdicts("passengers/features/all"),
        **first.verdicts("survived/split"),
        **first.verdicts("survived/model"),
    }
    assert {name for name, verdict in verdicts.items() if verdict.status == "passed"} >= {
        *("schema", "ranges", "leakage", "parity", "disjoint", "performance_auc", "confidence_auc"),
        "trained_on",
    }


def test_what_is_served_is_what_was_judged(first: Project) -> None:
    with first.active() as workspace:
        version = workspace.registry.get("survived", 1)
        raw, expected = holdout_sample(workspace, ModelContext.of(catalogue(), "survived"), version)
    assert raw.columns == ["passenger", "family", "sex", "fare"] and len(expected) == raw.height


def test_a_later_candidate_is_compared_on_the_holdout_of_both(second: Project) -> None:
    verdict = second.verdicts("survived/model")["champion_auc"]
    assert verdict.status == "passed" and "Neither model was trained on a group of the holdout" in verdict.reason
    split = second.reference("survived/split")
    with second.active() as workspace:
        whole = next(frames(workspace.store, (split.holdout[0].model_copy(update={"part": None}),)))
    held = parts.of(whole, split.holdout[0].part)
    before = parts.of(whole.filter(pl.col("passenger") < 1_200), split.holdout[0].part)
    assert {*before["passenger"]} == {*held.filter(pl.col("passenger") < 1_200)["passenger"]}


def test_another_division_leaves_out_what_the_champion_saw(second: Project) -> None:
    other = second.variant(catalogue(split={"holdout": 0.4, "group": ["passenger"]}))
    outcome = other.materialize(*STEPS[:3], checks=None)
    assert "survived/evaluation" in outcome.assets(), outcome.error
    note = other.verdicts("survived/model")["champion_auc"].reason
    assert "The champion was trained on the groups of" in note, note


def test_a_delivery_is_compared_with_the_one_that_it_replaces(second: Project) -> None:
    published = second.published()
    verdicts = second.verdicts("passengers/batch/all")
    assert {verdicts[name].status for name in ("volume", "distribution_psi")} == {"passed"}
    second.batches.deliver("0", "1200", change=lambda rows: rows.with_columns(pl.col("fare") * 100))
    outcome = second.ingest(WHOLE)
    assert outcome.failed("passengers/batch", WHOLE) == {"distribution_psi"}
    assert second.published() == published
    second.batches.deliver("0", "1200")
    assert second.ingest(WHOLE).success


def test_drift_compares_the_new_table_with_what_was_learnt(second: Project) -> None:
    context = ModelContext.of(catalogue(), "survived")
    with second.active() as workspace:
        found = observe(workspace, context)
        assert found is not None and not found.drifted and list(found.shares) == [WHOLE]
        workspace.registry.set_alias("survived", "champion", 2)
        with pytest.raises(PlatformError, match="nothing is published after"):
            observe(workspace, context)


def test_what_rolls_over_time_is_refused_in_one_line(first: Project) -> None:
    with pytest.raises(PlatformError, match="suggest compares one time with another, and passengers has"):
        require_time(ModelContext.of(catalogue(), "survived"), "suggest")


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({"split": {"holdout": 2}}, "split.holdout", "2 is a number of partitions, and this dataset has none"),
        ({"split": {"holdout": 0.2, "gap": 1}}, "split.gap", "`partitions: none`; remove it"),
        ({"split": {"holdout": 0.2, "train": 3}}, "split.train", "`partitions: none`; remove it"),
        ({"gates": [{"gate": "time_order"}]}, "gates.0", "'time_order' asks when"),
    ],
)
def test_what_needs_time_is_a_mistake(changes: dict[str, Any], key: str, reason: str) -> None:
    declared = catalogue(**changes)
    found = [(where, why) for _, where, why in problems(declared, declared.model("survived"))]
    assert [where for where, _ in found] == [key] and reason in found[0][1]


def test_shares_and_groups_are_a_mistake_with_partitions() -> None:
    from ml_platform_tests.shop_project import declared

    timed = declared(models={"returned": {"split": {"holdout": 0.2, "group": ["customer"]}}})
    found = {where: why for _, where, why in problems(timed)}
    assert set(found) == {"split.holdout", "split.group"} and "a share of groups" in found["split.holdout"]


def test_histories_need_a_time() -> None:
    from ml_platform.features.contract import HistoricalMean
    from ml_platform.features.history import daily

    features: Any = importlib.import_module("passengers_code").Features

    class Remembering(features):
        histories = (HistoricalMean("rate", of="survived", by=("sex",)),)

        def outcomes(self, raw: pl.DataFrame) -> pl.DataFrame:
            return raw.select("survived")

    with pytest.raises(PlatformError, match="history 'rate' averages the past, but the data has no time"):
        daily(Remembering(), table(10))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_line_alone_takes_it_to_an_answer_and_makes_it_again(tmp_path: Path) -> None:
    root = tmp_path / "ship"
    package = root / "src" / "ship"
    for name in ("passengers", "survived", "platform"):
        (package / "defs" / name).mkdir(parents=True)
    for file in ("dagster.yaml", ".gitignore"):
        shutil.copyfile(SHOP / file, root / file)
    (root / "pyproject.toml").write_text((SHOP / "pyproject.toml").read_text().replace("grocery", "ship"))
    definitions = (SHOP / "src" / "grocery" / "definitions.py").read_text()
    (package / "definitions.py").write_text(definitions)
    for folder in (package, package / "defs", package / "defs" / "passengers"):
        (folder / "__init__.py").write_text('"""Ships."""\n')
    (package / "defs" / "passengers" / "features.py").write_text(CODE)
    (package / "defs" / "passengers" / "schema.py").write_text(SCHEMA)
    here = "ship.defs.passengers"
    dataset = {**DATASET, "source": {"kind": "folder", "path": "incoming"}, "schema": f"{here}.schema:Passengers"}
    declared = {
        "passengers": [("Dataset", dataset), ("FeatureSet", {**FEATURES, "function": f"{here}.features:features"})],
        "survived": [("Model", {**MODEL, "gates": [*MODEL["gates"], {"gate": "replay"}, *SERVED]})],
        "platform": [("Platform", {})],
    }
    for name, components in declared.items():
        documents = [{"type": f"ml_platform.{kind}", "attributes": given} for kind, given in components]
        (package / "defs" / name / "defs.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    (root / "incoming").mkdir()
    table().write_csv(root / "incoming" / "passengers.csv")
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=ann", "-c", "user.email=a@b.c", "commit", "-qm", "Ship"],
    ):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    environment = {**os.environ, "DAGSTER_HOME": str(root), "ML_PLATFORM_PORTS": ports(3430, 20)}
    for name in ("ML_PLATFORM_LOCAL", FOLDER):
        environment.pop(name, None)

    def run(*commands: str) -> str:
        command = several(*(one.split() for one in commands))
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        said = run("validate", "run", "predict survived", "trace survived", "replay survived@1")
        assert said.startswith("3 declarations") and "1 (approved)" in said
        assert '"model": "survived"' in said
        assert "25% by a hash of family" in " ".join(said.replace("│", "").split())
        assert "model file: equal" in said
    finally:
        run("stop")
