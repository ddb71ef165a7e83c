"""Version of a part of a user's class: what one of its methods reaches, and not what stands beside it.

A feature function makes features and labels. Other features are another model, other labels another question, so the
two have to be told apart within one module.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.user_code import (
    files_beside,
    imports_of,
    is_own,
    module_file,
    plain,
    user_code_version,
)

#: Names by which code comes by files.
_READS = re.compile(r"open|read|scan|load|path|file|resource", re.IGNORECASE)


def reached_version(path: str, *methods: str) -> str:
    """12 hexadecimal digits over what ``methods`` of the class, or of the instance, ``module:object`` reach.

    Followed are names: of the class's own members and bases, of what its module defines, and of the user's modules that
    are imported (each of those as a whole). What a module does beside defining things counts always, and the files
    beside count where a name that is reached is one that reads. Where no class can be found, the whole module counts,
    as :func:`~ml_platform.foundation.user_code.user_code_version` has it, with the files beside. Raises as that does.
    """
    module, _, name = path.partition(":")
    file = module_file(module)
    found = _Part(module, file, name, methods) if file.suffix == ".py" and not name.startswith("{") else None
    if found is None or found.kind is None:
        return sha256_bytes(canonical_json([user_code_version(path), files_beside(path)]))[:12]
    parts = [plain(node) for node in found.nodes()]
    read = any(_READS.search(one) for one in found.names)
    return sha256_bytes(canonical_json([parts, found.imported(), files_beside(path) if read else {}]))[:12]


class _Part:
    """What is reached from some methods of a class, found by walking over names until no new one comes."""

    def __init__(self, module: str, file: Path, name: str, methods: tuple[str, ...]) -> None:
        self._module, self._file = module, file
        # The version of the module says what is wrong with one that is no Python.
        user_code_version(module)
        self._tree = ast.parse(file.read_bytes(), str(file))
        self.kind = self._class(name)
        #: Every name that is reached.
        self.names: set[str] = {name, *methods}
        if self.kind is not None:
            self._follow()

    def _class(self, name: str, tries: int = 5) -> ast.ClassDef | None:
        """The class of this name, or that of which an instance, or another name for it, is bound to it."""
        bound = [node for node in self._tree.body if name in set(_bound(node))]
        if len(bound) != 1 or not tries:
            return None
        (node,) = bound
        if isinstance(node, ast.ClassDef):
            return node
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        made = value.func if isinstance(value, ast.Call) else value
        return self._class(made.id, tries - 1) if isinstance(made, ast.Name) else None

    def _follow(self) -> None:
        before = 0
        while before != len(self.names):
            before = len(self.names)
            for node in list(self.nodes()):
                self.names |= set(_named(node))

    def nodes(self) -> Iterator[ast.AST]:
        """What is reached, in the order in which it stands."""
        assert self.kind is not None
        for node in self._tree.body:
            if _idle(node):
                continue
            if node is self.kind:
                yield from self._members(self.kind)
            # What mentions the class may change it.
            elif not (names := set(_bound(node))) or names & self.names or self.kind.name in set(_named(node)):
                yield node

    def _members(self, node: ast.ClassDef) -> Iterator[ast.AST]:
        yield from (*node.bases, *node.keywords, *node.decorator_list)
        for member in node.body:
            if _idle(member):
                continue
            names = set(_bound(member))
            special = any(name.startswith("__") for name in names)
            if special or not names or names & self.names:
                yield member

    def imported(self) -> list[list[str]]:
        """Names that come from elsewhere: of the user's own modules with their versions."""
        found = []
        package = self._module if self._file.name == "__init__.py" else self._module.rpartition(".")[0]
        for used_as, module, name, _ in sorted(imports_of(self._tree, package), key=lambda one: one.at):
            if used_as in self.names or used_as == "*":
                own = is_own(module, self._module)
                found.append([used_as, user_code_version(module) if own else module, name])
        return found


def _idle(node: ast.stmt) -> bool:
    """Whether a statement does nothing here: imports are followed by what they bind, a text is a comment."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement does nothing but define; none for one that does something else."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        flat = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
        if all(isinstance(one, ast.Name) for one in flat):
            yield from (one.id for one in flat if isinstance(one, ast.Name))


def _named(node: ast.AST) -> Iterator[str]:
    """Every name in a piece of code: of variables, of attributes, and texts that may be names of attributes."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value.isidentifier():
            yield one.value
