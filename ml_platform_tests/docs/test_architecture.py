"""The walks of the architecture page lead along functions that are there."""

import ast
import re

import pytest

from ml_platform_tests.conftest import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
STOPS = sorted(set(re.findall(r"`([a-z_/]+\.py):(\w+)`", TEXT)))


def test_the_page_has_two_walks() -> None:
    assert len(STOPS) > 15


@pytest.mark.parametrize(("file", "name"), STOPS)
def test_a_stop_of_a_walk_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "ml_platform" / file).read_text())
    assert name in {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def test_every_room_is_listed() -> None:
    rooms = {path.parent.name for path in (ROOT / "ml_platform").glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}/`" not in TEXT} == set()
