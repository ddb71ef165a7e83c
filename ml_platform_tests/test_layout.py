"""How the tests are laid out: what several share stands in a module of its own, never in a test module."""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.name


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of what code in ``package`` imports anywhere: modules, and what is taken from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)


def programs(tree: ast.AST) -> Iterator[str]:
    """Strings of a module that are Python themselves, such as what a test runs in a process of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
        else:
            continue
        try:
            ast.parse(program := textwrap.dedent(text))
        except (SyntaxError, ValueError):  # prose, or bytes that no source has
            continue
        yield program


def borrowed(text: str, package: str) -> set[str]:
    """Test modules that a text of Python, or a program in one of its strings, imports or imports from."""
    tree = ast.parse(text)
    names = (name.split(".") for name in imported(tree, package))
    found = {part for first, *parts in names if first == PACKAGE for part in parts if part.startswith("test_")}
    return found.union(*(borrowed(program, package) for program in programs(tree)))


@pytest.mark.parametrize(
    "text",
    [
        "from ml_platform_tests.some.other import helper",
        "from ml_platform_tests.some import other",
        "import ml_platform_tests.some.other as short",
        "def later():\n    from .other import helper",
        "from ..some.other import helper",
        "from . import other",
        "run('from ml_platform_tests.some.other import helper')",
        "run('''\n    import sys\n    from ml_platform_tests.some import other\n''')",
        "run(f'from ml_platform_tests.some.other import helper; helper({number}, \"{name}\")')",
    ],
)
def test_an_import_of_a_test_module_is_seen(text: str) -> None:
    assert borrowed(text.replace("other", "test_other"), f"{PACKAGE}.some") == {"test_other"}
    assert borrowed(text, f"{PACKAGE}.some") == set()


def test_no_module_imports_a_test_module() -> None:
    places = [file.relative_to(HERE) for file in HERE.rglob("*.py")]
    found = {
        place.as_posix()
        for place in places
        if borrowed((HERE / place).read_text(), ".".join([PACKAGE, *place.parts[:-1]]))
    }
    assert found == set()
