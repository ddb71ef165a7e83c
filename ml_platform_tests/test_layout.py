"""How the tests are laid out: what several share stands in a module of its own, never in a test module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.name
#: Modules that still import a test module. The list only shrinks.
LEFT = {
    "documents/test_model_card.py",
    "evaluation/test_behaviour.py",
    "evaluation/test_latency.py",
    "gates/test_kinds.py",
    "ledger/test_override.py",
    "sabotage/test_comparisons.py",
    "sabotage/test_quality.py",
}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of what code in ``package`` imports anywhere: modules, and what is taken from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)


def borrowed(text: str, package: str) -> set[str]:
    """Test modules that a text of Python imports, or imports from."""
    names = (name.split(".") for name in imported(ast.parse(text), package))
    return {part for first, *parts in names if first == PACKAGE for part in parts if part.startswith("test_")}


@pytest.mark.parametrize(
    "text",
    [
        "from ml_platform_tests.some.test_other import helper",
        "from ml_platform_tests.some import test_other",
        "import ml_platform_tests.some.test_other as other",
        "def later():\n    from .test_other import helper",
        "from ..some.test_other import helper",
        "from . import test_other",
    ],
)
def test_an_import_of_a_test_module_is_seen(text: str) -> None:
    assert borrowed(text, f"{PACKAGE}.some") == {"test_other"}
    assert borrowed(text.replace("test_other", "other"), f"{PACKAGE}.some") == set()


def test_no_module_imports_a_test_module() -> None:
    places = [file.relative_to(HERE) for file in HERE.rglob("*.py")]
    found = {
        place.as_posix()
        for place in places
        if borrowed((HERE / place).read_text(), ".".join([PACKAGE, *place.parts[:-1]]))
    }
    assert found == LEFT
