"""Versions of a user's code that follow what it does: a helper that it imports counts, its layout and comments do not.

A version covers the syntax tree of a module, of every module of the user's own that it imports, directly or not,
wherever the import stands and wherever on the import path that module is, and of the packages around them, whose
``__init__.py`` runs first. Not seen are modules that are imported by a computed name, and files that the code reads.
"""

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ml_platform.foundation.bindings import OwnImport, Source, bindings
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.foundation.shadowed import shadowed

#: Packages of the platform itself: their part in a result is an explicit number, raised when results change.
PLATFORM = "ml_platform"
#: Where users' code may stand in this repository all the same.
EXAMPLES = f"{PLATFORM}.defs"
#: Names of folders into which libraries are installed, of whatever Python.
LIBRARIES = frozenset({"site-packages", "dist-packages"})
#: Files of a user's folder that are read by the platform and not by the code in it.
NO_DATA = ("defs.yaml", "component.yaml", "README.md")


class UnknownModule(PlatformError):
    """A module that cannot be found."""


class _Import(NamedTuple):
    """One name that a module imports."""

    #: Name by which the module uses it.
    used_as: str
    #: Module that it comes from, and the name there; empty for the module itself.
    module: str
    name: str
    #: Line and column of the statement.
    at: tuple[int, int]


def module_file(module: str) -> Path:
    """File of a module, found without importing it (its packages are imported). Raises UnknownModule."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise UnknownModule(f"cannot find module {module} ({error})") from error
    except Exception as error:
        # A package on the way is the user's own code, which may raise anything.
        raise UnknownModule(f"cannot find module {module}: {type(error).__name__}: {error}") from error
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise UnknownModule(f"there is no module {module}")
    return Path(found.origin)


def user_code_version(path: str) -> str:
    """Version of ``module`` or ``module:object``: 12 hexadecimal digits over the module and what it imports, and the
    text that an object is made from (``module:{…}``).

    Raises UnknownModule where there is no such module, PlatformError where its source is not Python.
    """
    start, _, name = path.partition(":")
    sources = {name: source for name, (source, _) in _followed(start).items()}
    text = [name] if name.startswith("{") else []
    # The starting module first and the others by content, so that a module which only moves changes nothing.
    others = sorted(source.essence for name, source in sources.items() if name != start)
    return sha256_bytes(canonical_json([sources[start].essence, *others, *text, *bindings(start, sources)]))[:12]


def files_beside(path: str) -> dict[str, str]:
    """What ``module`` or ``module:object`` and the modules that it imports may read: name to sha256 of each file in
    their folders that is neither code nor a declaration. Raises UnknownModule as :func:`user_code_version`."""
    folders = {file.parent for _, file in _followed(path.partition(":")[0]).values()}
    found = sorted(file for folder in folders for file in folder.iterdir() if _is_data(file))
    return {f"{file.parent.name}/{file.name}": _content(file, *_about(file)) for file in found}


def _is_data(file: Path) -> bool:
    return (
        file.suffix not in (".py", ".pyc", ".so")
        and file.name not in NO_DATA
        and file.name[0] != "."
        and file.is_file()
    )


def _about(file: Path) -> tuple[int, int]:
    """What tells that a file is not the one that was read before."""
    about = file.stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=512)
def _content(file: Path, changed: int, size: int) -> str:
    return sha256_file(file)


def _followed(start: str) -> dict[str, tuple[Source, Path]]:
    """A module and all of its project that it imports, directly or not, and the file of each.

    Packages around them that nothing imports are there where they do something: an empty ``__init__.py`` is nothing.
    """
    seen: dict[str, tuple[Source, Path]] = {}
    waiting = {start: module_file(start)}
    named = {start}
    while waiting:
        name, file = waiting.popitem()
        source = _source(name, file, *_about(file))
        seen[name] = source, file
        imported = [module for one in source.imports for module in one.modules]
        named.update(imported)
        for module in (*imported, *_packages(name)):
            if module not in seen and (found := _file(module)) is not None:
                waiting[module] = found
    return {name: found for name, found in seen.items() if name in named or found[0].essence != IDLE}


def _packages(module: str) -> Iterator[str]:
    """The packages of the user's own that a module stands in."""
    while module := module.rpartition(".")[0]:
        if not of_platform(module):
            yield module


@lru_cache(maxsize=4096)
def _source(name: str, file: Path, changed: int, size: int) -> Source:
    """A module of the project; read anew when it changes."""
    if file.suffix != ".py":
        return Source(sha256_bytes(file.read_bytes()), (), frozenset("*"))
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise PlatformError(f"{file}: not Python: {error}; correct it") from error
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    named: set[tuple[str, str, str]] = set()
    own: list[OwnImport] = []
    imports = sorted(imports_of(tree, package), key=lambda one: one.at)
    for one in imports:
        if is_own(one.module, name):
            # Its content is followed, so that its place does not matter.
            named.add((one.used_as, "", one.name))
            whole = not one.name and one.used_as == _top(one.module)
            inner = f"{one.module}.{one.name}"
            modules = (one.module, inner) if one.name and _file(inner) is not None else (one.module,)
            own.append(OwnImport(one.module if whole else one.used_as, one.name, modules))
        elif one.used_as in used or one.used_as == "*":
            # Modules of the platform may move; what another library gives is known by its module.
            named.add((one.used_as, "" if _top(one.module) == PLATFORM else one.module, one.name))
    decisive = [*_rivals(imports), *_places(tree, package, name)]
    essence = sha256_bytes(canonical_json([plain(tree), sorted(named), *decisive]))
    return Source(essence, tuple(own), frozenset(_given(tree, imports)))


def _given(tree: ast.AST, imports: Sequence[_Import]) -> Iterator[str]:
    """Names that a module may give to others, too many rather than too few."""
    yield from (one.used_as for one in imports)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield "*" if node.name == "__getattr__" else node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


#: What a module does that does nothing.
IDLE = sha256_bytes(canonical_json([["Module", []], []]))


def _rivals(imports: Sequence[_Import]) -> list[list[list[str]]]:
    """In their order, what stands for one name in several imports: which of them is last, or in which branch, decides.

    Nothing where no name has more than one meaning.
    """
    meanings: dict[str, set[tuple[str, str]]] = {}
    for one in imports:
        meanings.setdefault(one.used_as, set()).add((one.module, one.name))
    found = [
        [one.used_as, "" if _top(one.module) == PLATFORM else one.module, one.name]
        for one in imports
        # `import a.b` and `import a.c` both bind `a`, and mean the same by it.
        if len(meanings[one.used_as]) > 1 and (one.name or one.used_as != _top(one.module))
    ]
    return [found] if found else []


def _places(tree: ast.Module, package: str, importer: str) -> list[Any]:
    """The tree with those imports in it whose place decides what a name means; nothing where there are none."""
    names = shadowed(tree)
    if not names:
        return []
    meanings: dict[str, set[tuple[str, str]]] = {}
    for one in imports_of(tree, package):
        meanings.setdefault(one.used_as, set()).add((one.module, one.name))

    def moves(one: _Import) -> bool:
        """Whether its module may move: it is all that is imported under its name."""
        return len(meanings[one.used_as]) == 1 and (_top(one.module) == PLATFORM or is_own(one.module, importer))

    def kept(node: ast.Import | ast.ImportFrom) -> list[Any]:
        found = [one for one in imports_of(node, package) if one.used_as in names]
        return [[one.used_as, "" if moves(one) else one.module, one.name] for one in found]

    return [plain(tree, kept)]


def imports_of(tree: ast.AST, package: str) -> Iterator[_Import]:
    """Every name that a piece of code in ``package`` imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` binds `a`, `import a.b as c` binds `c`.
                yield _Import(alias.asname or _top(alias.name), alias.name, "", (node.lineno, node.col_offset))
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parents = package.split(".")
                module = ".".join([*parents[: len(parents) - node.level + 1], *([module] if module else [])])
            for alias in node.names:
                yield _Import(alias.asname or alias.name, module, alias.name, (node.lineno, node.col_offset))
        elif isinstance(node, ast.Call) and (module := by_call(node, package)):
            yield _Import(module, module, "", (node.lineno, node.col_offset))


def by_call(node: ast.Call, package: str) -> str:
    """The module of ``import_module("a.b")`` or ``__import__("a.b")``; empty where it is no text, or no such call."""
    called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    first = node.args[0] if node.args else None
    if called not in ("import_module", "__import__") or not isinstance(first, ast.Constant):
        return ""
    text = first.value if isinstance(first.value, str) else ""
    level = len(text) - len(text.lstrip("."))
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - level + 1], text[level:]]) if level else text


def is_own(module: str, importer: str) -> bool:
    """Whether a module belongs to the project of the module that imports it, and not to the platform."""
    top = _top(module)
    if top == PLATFORM:
        return module == EXAMPLES or module.startswith(f"{EXAMPLES}.")
    return top == _top(importer) or is_project(top)


def of_platform(path: str) -> bool:
    """Whether ``module`` or ``module:object`` is the platform's own: its part in a result is a number."""
    return not is_own(path.partition(":")[0], EXAMPLES) and _top(path.partition(":")[0]) == PLATFORM


def _top(module: str) -> str:
    return module.partition(".")[0]


def _file(module: str) -> Path | None:
    """File of a module of the user's; ``None`` where it has none (a folder) or there is none (a name in a module)."""
    try:
        return module_file(module)
    except UnknownModule:
        return None


@lru_cache(maxsize=512)
def _folder(top: str) -> Path | None:
    """Folder of the import path in which a top-level package or module stands; ``None`` for what has none."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        # ``__main__`` of some programs, and modules that were put together by hand, have no file.
        return None
    places = [*(found.submodule_search_locations or ()), found.origin] if found is not None else []
    there = next((Path(place).resolve() for place in places if place and Path(place).exists()), None)
    return there.parent if there is not None else None


@lru_cache(maxsize=512)
def is_project(top: str) -> bool:
    """Whether a top-level package or module is code of a user's, wherever on the import path: it is not installed.

    A library that is installed to be edited (``pip install -e``) is such code: its text changes under one version.
    """
    folder = _folder(top)
    return folder is not None and not is_library(folder)


def is_library(path: Path) -> bool:
    """Whether a file or folder is below those of libraries: Python's own, and what ``pip`` writes to."""
    if any(map(path.is_relative_to, installed())) or not LIBRARIES.isdisjoint(path.parts):
        return True
    roots = {str(Path(root).resolve()) for root in sys.path}
    return any(str(folder) in roots and _installed_into(folder) for folder in (path, *path.parents))


@lru_cache(maxsize=512)
def _installed_into(folder: Path) -> bool:
    """Whether ``pip install --target`` wrote here: it leaves what it installed beside it."""
    return folder.is_dir() and next(folder.glob("*.dist-info"), None) is not None


@lru_cache(maxsize=1)
def installed() -> tuple[Path, ...]:
    """Folders of libraries and of programs of this Python. A virtual environment may stand around a user's code, so
    that the whole of it is none."""
    paths = sysconfig.get_paths()
    places = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(Path(place).resolve() for place in places))


def plain(node: Any, kept: Callable[[ast.Import | ast.ImportFrom], list[Any]] = lambda _: []) -> Any:
    """A syntax tree as plain lists without layout, comments, docstrings and imports; equal for all versions of Python.

    Python writes empty fields in one version and not in the next, so they are left out. ``kept`` says what is to stand
    in place of an import.
    """
    if isinstance(node, list):
        found = [
            kept(one) if isinstance(one, ast.Import | ast.ImportFrom) else plain(one, kept)
            for one in node
            if not isinstance(one, ast.Pass)
        ]
        return [one for one in found if one != []]
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, int) else str(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _docstring(node):
        fields["body"] = node.body[1:]
    return [
        type(node).__name__,
        [[name, plain(held, kept)] for name, held in sorted(fields.items()) if held not in (None, [])],
    ]


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None
