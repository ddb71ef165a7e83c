"""Every trainer, format, task and kind of source of the platform has a class of tests that inherits from its suite."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from ml_platform.models.predictor import FORMATS
from ml_platform.models.task import TASKS
from ml_platform.sources.kinds import SOURCES
from ml_platform.training.trainer import TRAINERS
from ml_platform_tests.conftest import ROOT


@cache
def classes(file: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)}


def inherited(file: Path, node: ast.ClassDef) -> Iterator[str]:
    """Names of all that a class of a file inherits from, as far as the file shows."""
    for base in node.bases:
        if isinstance(base, ast.Name):
            yield base.id
            if base.id in classes(file):
                yield from inherited(file, classes(file)[base.id])


def texts(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def given(node: ast.ClassDef, name: str) -> set[str]:
    """Texts in what a class gives as an attribute, or in the values of that key of a dictionary in it."""
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in one.targets):
            found |= texts(one.value)
        if isinstance(one, ast.Dict):
            pairs = zip(one.keys, one.values, strict=True)
            found |= {text for key, value in pairs if key and texts(key) == {name} for text in texts(value)}
    return found


def tried(suite: str, name: str) -> set[str]:
    """What the collected classes that inherit from a suite give by that name."""
    files = [file for file in sorted((ROOT / "ml_platform_tests").rglob("test_*.py")) if suite in file.read_text()]
    tests = [(file, node) for file in files for node in classes(file).values() if node.name.startswith("Test")]
    return {text for file, node in tests if suite in inherited(file, node) for text in given(node, name)}


@pytest.mark.parametrize(
    ("table", "suite", "name"),
    [
        (TRAINERS, "TrainerContract", "trainer"),
        (FORMATS, "TrainerContract", "format"),
        (TASKS, "TaskContract", "task"),
        (SOURCES, "SourceContract", "kind"),
    ],
)
def test_each_of_the_table_has_a_class_of_its_suite(table: Iterable[str], suite: str, name: str) -> None:
    assert table
    lacking = sorted({*table} - tried(suite, name))
    assert lacking == [], f"no class of {suite} gives `{name}` for {', '.join(lacking)}; add one beside the others"


def test_what_has_no_class_is_found() -> None:
    assert "no such trainer" not in tried("TrainerContract", "trainer")
    assert tried("TrainerContract", "trainer") and not tried("NoSuchContract", "trainer")
