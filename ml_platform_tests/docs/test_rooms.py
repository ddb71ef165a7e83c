"""Every room of the product says what it is for, and others use of it what its face names."""

import ast
from pathlib import Path

import pytest

from ml_platform_tests.conftest import ROOT
from ml_platform_tests.docs.rooms import PRODUCT, named

ROOMS = sorted(path.parent.name for path in PRODUCT.glob("*/__init__.py") if path.parent.name != "defs")
#: Most lines of one file: beyond them there is a second idea in it.
LONGEST = 350


def used(file: Path) -> set[tuple[str, str]]:
    """Room and module of every import of the product's own code in a file, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("ml_platform."):
            continue
        _, room, *rest = str(node.module).split(".")
        found |= {(room, rest[0])} if rest else {(room, alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_names_modules_that_are_there(room: str) -> None:
    assert (ast.get_docstring(ast.parse((PRODUCT / room / "__init__.py").read_text())) or "").count(".") >= 2
    if room == "cli":
        return
    lacking = [name for name in named(room) if not any((PRODUCT / room / end).exists() for end in (f"{name}.py", name))]
    assert not lacking


def test_a_room_is_entered_by_what_its_face_names() -> None:
    wrong = []
    for file in sorted(PRODUCT.rglob("*.py")):
        own, *rest = file.relative_to(PRODUCT).parts
        # The worker of earlier releases runs on their code; users' code is no room.
        if not rest or own == "defs" or file.name == "worker_1.py":
            continue
        wrong += [
            f"{file.name}: {room}.{module}" for room, module in used(file) if room != own and module not in named(room)
        ]
    assert not wrong


def test_nothing_lies_loose_beside_the_rooms() -> None:
    assert {path.name for path in PRODUCT.glob("*.py")} == {"__init__.py", "definitions.py"}
    assert {path.name for path in PRODUCT.iterdir() if path.is_dir()} - {"__pycache__", "defs"} == set(ROOMS)


def test_no_file_has_grown_beyond_one_idea() -> None:
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in PRODUCT.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
