"""Every dotted path of ours in docstrings, comments and pages leads to something."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ml_platform_tests.conftest import ROOT

#: The changelog tells of what was.
PAGES = [*(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"), *ROOT.glob("docs/**/*.md")]
MODULES = [path for folder in ("ml_platform", "ml_platform_tests") for path in (ROOT / folder).rglob("*.py")]
#: A module, and what may follow it: ``module.name``, ``module:name``, ``module:Class.member``.
PATH = re.compile(r"(?<![\w./-])(ml_platform(?:_tests)?(?:\.\w+)+(?::[\w.]+)?)(?![\w/-])")
#: Components are named by the package: ``type: ml_platform.Dataset``; the rest are names of metrics and tags.
NO_MODULES = re.compile(r"ml_platform\.([A-Z]\w*|code_commit|db|yaml|egg|git)$")


@cache
def names(path: Path) -> dict[str, ast.AST]:
    """What a module or class defines, by name."""
    return members(ast.parse(path.read_text()))


def members(node: ast.AST) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[one.name] = one
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            found |= {name.id: one for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(one, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name: one for alias in one.names}
        elif isinstance(one, ast.If | ast.Try):
            found |= members(one)
    return found


def leads_somewhere(path: str) -> bool:
    parts = re.split(r"[.:]", path)
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        if not file.is_file():
            continue
        found: dict[str, ast.AST] = names(file)
        for number, name in enumerate(parts[length:]):
            if name not in found:
                return False
            if isinstance(found[name], ast.Import | ast.ImportFrom):
                return True  # defined elsewhere
            found = members(found[name]) if number + length + 1 < len(parts) else {}
        return True
    return False


def words(path: Path) -> Iterator[str]:
    """Docstrings and comments."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    yield from (
        one.string for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type == tokenize.COMMENT
    )


def missing(text: str) -> set[str]:
    named = {one.rstrip(".") for one in PATH.findall(text)}
    return {one for one in named if not NO_MODULES.match(one) and not leads_somewhere(one)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_what_is_there(page: Path) -> None:
    assert missing(page.read_text()) == set()


def test_docstrings_and_comments_name_what_is_there() -> None:
    found = {str(path.relative_to(ROOT)): missing("\n".join(words(path))) for path in MODULES}
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_what_is_not_there_is_seen() -> None:
    text = (
        "see ml_platform.datasets.store.VersionedStore.merge and ml_platform.gates.gate:kind, a `ml_platform.Dataset`."
    )
    assert missing(text) == set()
    wrong = {
        "ml_platform_tests.datasets.no_contract",
        "ml_platform.datasets.store:NoStore",
        "ml_platform.models.task.Task.x",
    }
    assert missing(" ".join(f"``{one}``" for one in wrong)) == wrong
