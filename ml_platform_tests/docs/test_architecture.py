"""The walks of the architecture page lead along functions that are there."""

import ast
import re

import pytest

from ml_platform_tests.conftest import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
STOP = r"`([a-z_/]+\.py):(\w+)`"
STOPS = sorted(set(re.findall(STOP, TEXT)))
#: A stop, and the one that it leads to.
STEPS = sorted(set(re.findall(rf"(?={STOP}\s+→\s+{STOP})", TEXT)))


def definitions(file: str, name: str) -> list[ast.AST]:
    """Functions and classes of this name."""
    tree = ast.parse((ROOT / "ml_platform" / file).read_text())
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name
    ]


def mentions(node: ast.AST) -> set[str]:
    """Names that the code of a definition uses; an annotation of an argument tells what it is given."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return names | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def leads(file: str, name: str, to: str) -> bool:
    return any(to in mentions(one) for one in definitions(file, name))


def test_the_page_has_two_walks() -> None:
    assert len(STOPS) > 25 and len(STEPS) > 20


@pytest.mark.parametrize(("file", "name"), STOPS)
def test_a_stop_of_a_walk_is_there(file: str, name: str) -> None:
    assert definitions(file, name)


@pytest.mark.parametrize(("file", "name", "_", "to"), STEPS)
def test_a_stop_leads_to_the_next(file: str, name: str, _: str, to: str) -> None:
    assert leads(file, name, to)


def test_a_step_that_is_none_is_seen() -> None:
    assert not leads("pipeline/data.py", "publish", "save"), "references are saved by the orchestration"
    assert not leads("serving/service.py", "predict", "rows_to_frame"), "serving/answer.py lies between"


def test_every_room_is_listed() -> None:
    rooms = {path.parent.name for path in (ROOT / "ml_platform").glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}/`" not in TEXT} == set()
