"""Names that a piece of code binds more than once, an import being one of them: there the place of the import decides.

Elsewhere it does not matter where an import stands, so that versions of code leave it out.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)


class _Scope(NamedTuple):
    #: Name to what imports mean by it.
    imported: dict[str, set[tuple[str, int, str]]]
    #: Names that anything else binds.
    bound: set[str]


def shadowed(tree: ast.Module) -> frozenset[str]:
    """Names of which one scope has an import and another meaning, that of another import or of anything else."""
    found: set[str] = set()
    for node, scope in _scopes(tree):
        for name, meanings in scope.imported.items():
            if len(meanings) > 1 or name in scope.bound:
                found.add(name)
        if isinstance(node, ast.Module):
            # What a function says is global is bound here, whenever that is called.
            again = {name for one in ast.walk(node) if isinstance(one, ast.Global) for name in one.names}
            found |= again & set(scope.imported)
    return frozenset(found)


def _scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, _Scope]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *_SCOPES)):
            scope = _Scope({}, set())
            if isinstance(node, _FUNCTIONS):
                scope.bound.update(one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg))
            for part in node.body if isinstance(node.body, list) else [node.body]:
                _look(part, scope)
            yield node, scope


def _look(node: ast.AST, scope: _Scope) -> None:
    """Add what a statement binds in its scope, and not what a function or class inside binds in its own."""
    match node:
        case ast.Import():
            for alias in node.names:
                # `import a.b` and `import a.c` both bind `a`, and mean the same by it.
                bound = alias.asname or alias.name.partition(".")[0]
                module = alias.name if alias.asname else bound
                scope.imported.setdefault(bound, set()).add((module, 0, ""))
        case ast.ImportFrom():
            for alias in node.names:
                meaning = (node.module or "", node.level, alias.name)
                scope.imported.setdefault(alias.asname or alias.name, set()).add(meaning)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            scope.bound.add(node.name)
        case ast.Name(ctx=ast.Store() | ast.Del()):
            scope.bound.add(node.id)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            scope.bound.add(name)
        case ast.MatchMapping(rest=str(name)):
            scope.bound.add(name)
        case _:
            pass
    if not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            _look(child, scope)
