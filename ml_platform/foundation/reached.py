"""Version of a part of a user's class: what one of its methods reaches, and not what stands beside it.

A feature function makes features and labels. Other features are another model, other labels another question, so the
two have to be told apart within one module.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.shadowed import shadowed
from ml_platform.foundation.user_code import (
    UnknownModule,
    files_beside,
    imports_of,
    is_own,
    module_file,
    plain,
    user_code_version,
)

#: Names by which code comes by files.
_READS = re.compile(r"open|read|scan|load|path|file|resource", re.IGNORECASE)

#: Names by which code comes by members that it does not name, or that name themselves.
_COMPUTED = {
    *("getattr", "dir", "globals", "locals", "vars", "eval", "exec", "import_module", "__import__", "modules"),
    *("attrgetter", "methodcaller", "getmembers", "getattr_static", "__dict__", "__getattr__", "__getattribute__"),
    *("__subclasses__", "__init_subclass__", "__mro__", "__set_name__", "singledispatch", "singledispatchmethod"),
}
#: A field of a text's ``format`` that asks for an attribute or an item.
_INSIDE = re.compile(r"{[^{}]*[.\[]")

#: Names by which code comes by any object, or sets attributes of one.
_ANY = {
    *("exec", "eval", "globals", "locals", "vars", "modules", "__import__", "import_module"),
    *("setattr", "delattr", "__setattr__", "__delattr__", "__dict__"),
}


def reached_version(path: str, *methods: str) -> str:
    """12 hexadecimal digits over what ``methods`` of the class, or of the instance, ``module:object`` reach.

    Followed are names: of the class's own members and bases, of what its module defines, and of the user's modules that
    are imported (each of those as a whole). What a module does beside defining things counts always, and the files
    beside count where a name that is reached is one that reads. So do statements that run with the instance or its
    class, through whatever function or other name, and members that set what a reached one may read. Where no class can
    be found, the whole module counts, as :func:`~ml_platform.foundation.user_code.user_code_version` has it, with the
    files beside; so it does where what is reached comes by names that it computes, or by one that an import and
    something else give. Raises as that does.
    """
    module, _, name = path.partition(":")
    file = module_file(module)
    found = _Part(module, file, name, methods) if file.suffix == ".py" and not name.startswith("{") else None
    if found is None or found.kind is None or found.computes():
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
        #: Names of the instance, as it was found.
        self._instance: set[str] = set()
        self.kind = self._class(name)
        #: Every name that is reached.
        self.names: set[str] = {name, *methods}
        if self.kind is not None:
            self._free = {node: _free(node) for node in self._tree.body}
            touching = self._through(self._itself(self.kind))
            #: Statements that run with the instance or its class.
            self._runs = {node for node in self._tree.body if any(_free(part) & touching for part in _run(node))}
            self._follow()

    def _class(self, name: str, tries: int = 5) -> ast.ClassDef | None:
        """The class of this name, or that of which an instance, or another name for it, is bound to it."""
        bound = [node for node in self._tree.body if name in set(_bound(node))]
        if len(bound) != 1 or not tries:
            return None
        (node,) = bound
        if isinstance(node, ast.ClassDef):
            return node
        self._instance.add(name)
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        made = value.func if isinstance(value, ast.Call) else value
        return self._class(made.id, tries - 1) if isinstance(made, ast.Name) else None

    def _itself(self, kind: ast.ClassDef) -> set[str]:
        """Names by which the module comes by the instance, its class or its bases, and those that may stand for any."""
        bases = {base.id for base in kind.bases if isinstance(base, ast.Name)}
        package = self._module if self._file.name == "__init__.py" else self._module.rpartition(".")[0]
        found = imports_of(self._tree, package)
        again = {used_as for used_as, module, name, _ in found if self._module in (module, f"{module}.{name}")}
        globally = {name for node in self._tree.body if _has_global(node) for name in _bound(node)}
        return {*self._instance, kind.name, *bases, *again, *globally, *_ANY}

    def _through(self, names: set[str]) -> set[str]:
        """These names, and those of the module that mention one of them, also through each other."""
        found, before = set(names), 0
        while before != len(found):
            before = len(found)
            for node, mentioned in self._free.items():
                if mentioned & found:
                    found |= set(_bound(node))
        return found

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
            # What mentions the class may change it, and so may what runs with the instance.
            elif (
                not (names := set(_bound(node)))
                or names & self.names
                or self.kind.name in set(_named(node))
                or node in self._runs
            ):
                yield node

    def _members(self, node: ast.ClassDef) -> Iterator[ast.AST]:
        yield from (*node.bases, *node.keywords, *node.decorator_list)
        setting = {name for one in self._tree.body if _sets(one, self.names) for name in _bound(one)}
        setting = self._through(setting) if setting else setting
        for member in node.body:
            if _idle(member):
                continue
            names = set(_bound(member))
            special = any(name.startswith("__") for name in names)
            if special or not names or names & self.names or _sets(member, self.names) or _free(member) & setting:
                yield member

    def computes(self) -> bool:
        """Whether what is reached may come by more than by the names in it."""
        if not shadowed(self._tree).isdisjoint(self.names):
            return True
        return any(_computes(node) for node in self.nodes())

    def imported(self) -> list[list[str]]:
        """Names that come from elsewhere: of the user's own modules with their versions."""
        found = []
        package = self._module if self._file.name == "__init__.py" else self._module.rpartition(".")[0]
        for used_as, module, name, _ in sorted(imports_of(self._tree, package), key=lambda one: one.at):
            if used_as in self.names or used_as == "*":
                own = is_own(module, self._module)
                found.append([used_as, user_code_version(module) if own else module, name])
                found += [[inner] for inner in self._inner(module, name) if own]
        return found

    @staticmethod
    def _inner(module: str, name: str) -> Iterator[str]:
        """Version of the module that an import of a name from a package means, where it is one."""
        if name:
            with suppress(UnknownModule):
                yield user_code_version(f"{module}.{name}")


def _computes(node: ast.AST) -> bool:
    """Whether a piece of code may come by a member under a name that stands nowhere, or is one by registering."""
    inner: list[ast.AST] = list(ast.iter_child_nodes(node))
    match node:
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(), *_]):
            inner = [*node.args]
        case ast.Call(func=ast.Attribute(attr="format" | "format_map", value=ast.Constant(value=str(text)))):
            if _INSIDE.search(text):
                return True
        case ast.Call(func=ast.Attribute(attr="format" | "format_map"), args=[first, *_]):
            # `format` of polars is given its text.
            if not isinstance(first, ast.Constant):
                return True
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name):
            if name in _COMPUTED:
                return True
        case _:
            pass
    return any(map(_computes, inner))


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


def _free(node: ast.AST) -> set[str]:
    """Names of variables in a piece of code but for parameters of the functions in it, and of :data:`_ANY` those of
    attributes as well."""
    own: set[str] = set()
    inner: set[str] = set()
    for child in ast.iter_child_nodes(node):
        # Who inherits from a class does nothing to it.
        if not (isinstance(node, ast.ClassDef) and child in node.bases and isinstance(child, ast.Name)):
            inner |= _free(child)
    match node:
        case ast.Name():
            own = {node.id}
        case ast.Attribute() if node.attr in _ANY:
            own = {node.attr}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            inner -= {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
            # What runs when it is defined knows no parameter.
            own = {name for part in _run(node) for name in _free(part)}
        case _:
            pass
    return own | inner


def _run(node: ast.AST) -> Sequence[ast.AST]:
    """What of a piece of code runs when it is loaded: of a function decorators and defaults, of anything else all."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            defaults = [*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)]
            return [*getattr(node, "decorator_list", []), *defaults]
        case ast.ClassDef():
            parts: list[ast.AST] = [one for one in node.bases if not isinstance(one, ast.Name)]
            parts += [*(one.value for one in node.keywords), *node.decorator_list]
            return [*parts, *(part for member in node.body for part in _run(member))]
        case _:
            return [node]


def _has_global(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Global) for one in ast.walk(node))


def _sets(node: ast.AST, names: set[str]) -> bool:
    """Whether a function sets a global or an attribute of one of these names, an item of that, or any; what is done to
    what a method is handed beside its object does not count."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    handed = {one.arg for one in node.args.args[1:]}

    def reached(one: ast.AST) -> bool:
        if isinstance(one, ast.Global):
            return not names.isdisjoint(one.names)
        if not isinstance(one, ast.Attribute | ast.Subscript) or isinstance(one.ctx, ast.Load):
            return False
        held = one.value if isinstance(one, ast.Subscript) else one
        its = held.value if isinstance(held, ast.Attribute) else None
        mine = not (isinstance(its, ast.Name) and its.id in handed)
        return isinstance(held, ast.Attribute) and held.attr in names and mine

    return bool(_free(node) & _ANY) or any(reached(one) for one in ast.walk(node))
