"""Kinds of entries are named in one place: a literal elsewhere would be missed where one is renamed or looked for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ml_platform
from ml_platform.ledger import kinds

ROOT = Path(ml_platform.__file__).parent
KINDS = {value for name, value in vars(kinds).items() if name.isupper()}


def texts(node: ast.expr) -> Iterator[ast.Constant]:
    """Literals of kinds in an expression: itself, or what a tuple, list or set of it holds."""
    for one in node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]:
        if isinstance(one, ast.Constant) and one.value in KINDS:
            yield one


def is_kind(node: ast.expr) -> bool:
    """Whether an expression reads the kind of something."""
    if isinstance(node, ast.Tuple):
        return any(map(is_kind, node.elts))
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "kind"
    return isinstance(node, ast.Attribute) and node.attr == "kind"


def named(tree: ast.AST) -> Iterator[ast.Constant]:
    """Literals of kinds: what is decided, what is asked for, what a kind is compared with or looped over for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("decide", "decide_each") and node.args:
                yield from texts(node.args[0])
            for keyword in node.keywords:
                if keyword.arg == "kind" and node.func.attr in ("entries", "log"):
                    yield from texts(keyword.value)
        elif isinstance(node, ast.Compare) and any(map(is_kind, [node.left, *node.comparators])):
            for side in (node.left, *node.comparators):
                yield from texts(side)
        elif isinstance(node, ast.comprehension | ast.For) and ast.unparse(node.target) == "kind":
            yield from texts(node.iter)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "KIND":
            yield from texts(node.value)


def test_no_other_module_writes_the_name_of_a_kind() -> None:
    files = [path for path in ROOT.rglob("*.py") if path not in (ROOT / "ledger/kinds.py", ROOT / "replay/worker_1.py")]
    rooms = {
        "ledger",
        "pipeline",
        "cli",
        "orchestration",
        "documents",
        "demonstrating",
        "replay",
        "proving",
        "creating",
    }
    found = [
        f"{path.relative_to(ROOT)}:{one.lineno}: {one.value!r}; name it by ml_platform.ledger.kinds"
        for path in files
        if path.relative_to(ROOT).parts[0] in rooms
        for one in named(ast.parse(path.read_text()))
    ]
    assert found == []


def test_each_kind_has_one_name_and_is_written_or_read_by_it() -> None:
    names = [name for name in vars(kinds) if name.isupper()]
    assert len(names) == len(KINDS)
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for path in ROOT.rglob("*.py")
        if path != ROOT / "ledger/kinds.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.Attribute)
    }
    assert set(names) <= used


def test_a_literal_is_found_where_it_hides() -> None:
    written = """
ledger.decide("publication", subject=x)
ledger.entries(kind="verdict")
a = [one for one in entries if (one.kind, one.name) == ("rollback", name)]
b = row["kind"] in ("override",)
for kind in ("approval", "registration"): pass
KIND = "alert"
"""
    assert [one.value for one in named(ast.parse(written))] and {one.value for one in named(ast.parse(written))} == {
        "publication", "verdict", "rollback", "override", "approval", "registration", "alert",
    }  # fmt: skip
