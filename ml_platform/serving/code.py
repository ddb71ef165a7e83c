"""Which code a package needs: the service, the feature module and what they import from the same projects."""

import ast
import importlib.util
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.user_code import by_call, is_library, is_own, of_platform


def stage_code(stage: Path, entry: str, function_path: str, others: Iterable[str] = ()) -> frozenset[str]:
    """Copy into `stage` the modules of the service, from its ``entry`` module, and of the feature function
    (``module:object``); returns the top-level names of the libraries that the user's modules import.

    ``others`` are loaded by their names as well (task, predictor, types in the model); what of them is installed and
    belongs neither to the platform nor to the project of the entry or the feature function is a library. Imports are
    followed within their projects; libraries are requirements of the image. Raises :class:`PlatformError` for a module
    without a source file.
    """
    feature_module = function_path.partition(":")[0]
    roots = {"ml_platform", *(module.partition(".")[0] for module in (entry, feature_module))}
    named = [path.partition(":")[0] for path in others]
    waiting = [entry, feature_module, *(one for one in named if one.partition(".")[0] in roots or _is_loose(one))]
    done: set[str] = set()
    libraries: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            waiting.append(parent)
        source = _source(name)
        if source is None and _is_namespace(name):
            continue
        if source is None:
            raise PlatformError(
                f"module {name}, which the service needs, has no source file; install the project as source"
            )
        is_package = source.name == "__init__.py"
        target = stage.joinpath(*name.split("."))
        target = target / "__init__.py" if is_package else target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        # A package's own imports inside functions are lazy attributes that serving does not ask for.
        for found in _imports(source, name if is_package else parent, lazy=not is_package):
            top = found.partition(".")[0]
            if top in roots or is_own(found, name):
                if _source(found) is not None:
                    waiting.append(found)
            elif not of_platform(name) and top not in sys.stdlib_module_names and _is_there(top):
                libraries.add(top)
    return frozenset(libraries)


def _is_loose(name: str) -> bool:
    """Whether a module stands in no folder of libraries, so that nothing but the package would bring it along."""
    source = _source(name)
    return source is not None and not is_library(source.resolve())


def _is_there(name: str) -> bool:
    """Whether a package can be imported: code may try for one that is not installed."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _source(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _is_namespace(name: str) -> bool:
    """Whether it is a package without ``__init__.py``."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is None and spec.submodule_search_locations is not None


def _imports(source: Path, package: str, *, lazy: bool) -> Iterator[str]:
    """Names that a module may import, without those for type checkers; ``lazy`` adds those inside functions."""
    waiting: list[ast.AST] = [ast.parse(source.read_text(), str(source))]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and (module := by_call(node, package)):
                yield module
                waiting.append(node)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                waiting.extend(node.orelse)
            elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting.append(node)
