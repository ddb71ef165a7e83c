"""``ml-platform validate``: one line for each mistake, with file, line, key and reason."""

import re
from pathlib import Path

import dagster as dg
import pytest

from ml_platform.declarations.loading import find_mistakes
from ml_platform.foundation.project import Project
from ml_platform_tests.cli.conftest import mistakes_in
from ml_platform_tests.cli.mistakes import MISTAKES, Mistake
from ml_platform_tests.components.shop import DATASET, MODEL, Shop
from ml_platform_tests.conftest import ROOT

LINE = re.compile(r"^(?P<file>src/shop/defs/[\w/.]+?):(?P<line>\d+): (?:(?P<key>[\w.]+): )?(?P<reason>.+)$")


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_each_mistake_is_one_line(shop: Shop, mistake: Mistake) -> None:
    mistake.make(shop)
    (line,) = mistakes_in(shop)
    found = LINE.match(line)
    assert found, line
    text = (shop.root / found["file"]).read_text().splitlines()
    assert 1 <= int(found["line"]) <= len(text)
    assert found["file"].removeprefix("src/shop/defs/") == mistake.file
    assert (found["key"] or "").removeprefix("attributes").removeprefix(".") == mistake.key
    assert mistake.reason in found["reason"]


def told_by_dagster(shop: Shop) -> list[str]:
    """Every message of the error that loading the definitions raises; empty where they load."""
    told: list[str] = []
    try:
        dg.ComponentTree.for_project(shop.root).build_defs()
    except Exception as raised:
        error: BaseException | None = raised
        while error is not None:
            told.append(str(error))
            error = error.__cause__ or error.__context__
    return told


def test_dagster_loads_what_has_no_mistake(shop: Shop) -> None:
    assert told_by_dagster(shop) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_dagster_says_the_same_of_the_same_mistake(shop: Shop, mistake: Mistake) -> None:
    mistake.make(shop)
    (line,) = mistakes_in(shop)
    told = told_by_dagster(shop)
    # What is not YAML, or names no component, Dagster finds before there is a component of ours.
    assert (
        told if mistake.name in ("not YAML", "unknown component", "a key outside of the attributes") else line in told
    )


def test_an_outcome_among_the_inputs_of_the_features_is_named(shop: Shop) -> None:
    shop.edit(DATASET, "inputs = (", 'inputs = ("outcome", ', "features.py")
    (line,) = mistakes_in(shop)
    found = LINE.match(line)
    assert found and found["file"].endswith(f"{DATASET}/features.py")
    assert (shop.root / found["file"]).read_text().splitlines()[int(found["line"]) - 1].startswith("    inputs = (")
    assert "input 'outcome' is an outcome" in found["reason"]


@pytest.mark.parametrize(("gate", "key"), [
    ("gate: dependency, by: [iid], columns: [amount], max: 0.1", "by"),
    ("gate: near_duplicates, but_for: [iid], max: 0.1", "but_for"),
])  # fmt: skip
def test_an_unknown_column_in_any_key_of_a_gate_is_named(shop: Shop, gate: str, key: str) -> None:
    shop.edit(DATASET, "- gate: schema", f"- gate: schema\n    - {{{gate}}}")
    (line,) = mistakes_in(shop)
    assert f"attributes.gates.1.{key}: unknown column 'iid'" in line


def test_the_line_is_that_of_the_key(shop: Shop) -> None:
    path = shop.edit(MODEL, "rounds: 200", "rounds: many")
    (line,) = mistakes_in(shop)
    number = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "rounds" in text)
    assert line.startswith(f"src/shop/defs/{MODEL}/defs.yaml:{number}: attributes.parameters.rounds: ")


def test_a_broken_dataset_is_not_reported_again_where_it_is_used(shop: Shop) -> None:
    shop.edit(DATASET, "key: [id]", "key: []")
    (line,) = mistakes_in(shop)
    assert "attributes.key" in line


def test_mistakes_in_several_files_are_all_found(shop: Shop) -> None:
    shop.edit(MODEL, "rounds: 200", "rounds: many\n    depth: 3")
    shop.edit(DATASET, "columns: [amount]", "columns: [amont, id]")
    shop.edit(DATASET, "key: [id]", "key: [idd]")
    assert sorted(LINE.match(line)["key"] for line in mistakes_in(shop)) == [  # type: ignore[index]
        "attributes.gates.2.columns",
        "attributes.key",
        "attributes.parameters.depth",
        "attributes.parameters.rounds",
    ]


def test_a_project_without_platform_is_told_how_to_get_one(shop: Shop) -> None:
    (shop.defs / "platform" / "defs.yaml").unlink()
    (line,) = mistakes_in(shop)
    assert "run dg scaffold defs ml_platform.Platform platform" in line


def test_the_example_is_in_order() -> None:
    mistakes, declared = find_mistakes(Project.find(ROOT))
    assert mistakes == []
    assert len(declared) == 4


def test_the_command_prints_them_and_exits_1(shop: Shop) -> None:
    shop.edit(MODEL, "task: binary", "task: binary\n  colour: red")
    shop.edit(DATASET, "columns: [amount]", "columns: [amont]")
    done = shop.ml("validate")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 2
    assert all(LINE.match(line) for line in lines)


# That none of the others loads either: test_dagster_says_the_same_of_the_same_mistake.
@pytest.mark.slow
def test_dg_check_defs_fails_on_what_does_not_load(shop_template: Shop, tmp_path: Path) -> None:
    chosen = [one for one in MISTAKES if one.name in ("not YAML", "unknown component", MISTAKES[0].name)]
    assert len(chosen) == 3
    for number, mistake in enumerate(chosen):
        copy = shop_template.copy(tmp_path / f"shop{number}")
        mistake.make(copy)
        assert copy.dg("check", "defs").returncode, mistake.name


OWN = """
from pydantic import BaseModel

from ml_platform.models.regression import Regression
from ml_platform.training.xgboost import XGBoostTrainer


class Asserts(XGBoostTrainer):
    def check(self, parameters, task):
        assert task.output == "classes"


class NoParameters:
    pass


def function():
    pass


class NoCheck:
    def __init__(self, classes=(), threshold=None):
        pass


class Raises(Regression):
    def check(self):
        raise KeyError("threshold")
"""


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        (
            "task: binary",
            "task: binary\n  trainer: shop.own:Asserts",
            "trainer",
            r"AssertionError \(in Asserts.check, ",
        ),
        ("task: binary", "task: binary\n  trainer: shop.own:NoParameters", "trainer", "lacks Parameters, check, equal"),
        ("task: binary", "task: binary\n  trainer: shop.own:function", "trainer", "expected a class"),
        ("task: binary", "task: shop.own:NoCheck", "task", "lacks .*check"),
        (
            "task: binary",
            "task: shop.own:Raises",
            "attributes",
            r"KeyError: 'threshold' \(in Raises.check, shop/own.py:\d+\)",
        ),
        (
            "{gate: performance, metric: auc, min: 0.55}",
            "{gate: slices, metric: r2, max: 1}",
            "gates.2.metric",
            "unknown metric 'r2'; binary models have",
        ),
    ],
)
def test_classes_of_ones_own_that_cannot_work_are_one_line(
    shop: Shop, old: str, new: str, key: str, reason: str
) -> None:
    (shop.root / "src" / "shop" / "own.py").write_text(OWN)
    shop.edit(MODEL, old, new)
    shop.edit(DATASET, "key: [id]", "key: [idd]")
    mine, other = sorted(mistakes_in(shop), key=lambda line: "attributes.key" in line)
    assert "attributes.key" in other
    found = LINE.match(mine)
    assert found and (found["key"] or "").removeprefix("attributes.") == key and re.search(reason, mine), mine


def test_a_baseline_that_the_task_does_not_have_is_told_before_a_training(shop: Shop) -> None:
    """Of the platform's tasks and of one's own, by the names that the task itself gives."""
    own = """from ml_platform.models.binary import Binary

class Own(Binary):
    def baselines(self, y, rows):
        return {"season": self.scores(y[:1].repeat(rows))}
"""
    (shop.defs.parent / "tasks.py").write_text(own)
    gate = "{gate: baseline, name: own, metric: brier, against: base_rat, min: 0.01}"
    shop.edit(MODEL, "gates:\n", f"gates:\n    - {gate}\n")
    (line,) = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    told = "unknown baseline 'base_rat'; binary models are compared with base_rate, logistic_regression"
    assert f": attributes.gates.0.against: {told}" in line and "did you mean 'base_rate'" in line

    shop.edit(MODEL, "base_rat,", "base_rate,")
    assert not [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]

    shop.edit(MODEL, "task: binary\n", "task: shop.tasks:Own\n")
    (line,) = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    assert "'base_rate'; shop.tasks:Own models are compared with season, logistic_regression" in line

    shop.edit(MODEL, "against: base_rate,", "against: season,")
    assert not [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
