"""Where in code of a user's own a mistake stands: the file and the line, in place of those of the key that names it."""

import ast
import importlib.util
import re
import sys
from contextlib import suppress
from pathlib import Path

from ml_platform.foundation.objects import BrokenModule

#: How :func:`ml_platform.foundation.raised.raised` ends: function, the last two parts of the file, line.
_RAISED = re.compile(r" \(in [^()]*?, (?P<file>[^():]+):(?P<line>\d+)\)")
#: What a reason speaks of, by its words: an attribute or a method of a feature function.
_SPOKEN = (
    (re.compile(r" lacks the declared columns|^feature '|' is .* and a (feature|slice)\b"), "columns"),
    (re.compile(r"^input '|not among its inputs"), "inputs"),
    (re.compile(r"^outcome '"), "outcomes"),
    (re.compile(r"^the time column '|^its time "), "time"),
    (re.compile(r"lacks the label '|' is .* and a label\b"), "labels"),
)
_METHOD = re.compile(r"^(\w+)\(\)")
_QUOTED = re.compile(r"'([^']+)'")


class InCode(str):
    """A reason whose mistake stands in a file of code."""

    file: Path
    line: int


def in_code(path: str, reason: str) -> str:
    """A reason for what is wrong with the object at ``module:object``, with its place where that can be found.

    That is the line that raised; else that of the method, or of the first name in quotes, that the reason speaks of;
    else that of the object.
    """
    module, _, name = path.partition(":")
    if (match := _RAISED.search(reason)) and (file := _file(match["file"])):
        return _at(file, int(match["line"]), reason.replace(match[0], "", 1))
    with suppress(ImportError, ValueError, OSError, SyntaxError, AttributeError):
        found = importlib.util.find_spec(module)
        file = Path(found.origin or "") if found is not None else Path()
        return _at(file, _line(ast.parse(file.read_text()), name, reason), reason)
    return reason


def in_schema(path: str, reason: str) -> str:
    """As :func:`in_code`, of a schema: the line is that of the first column in quotes that it declares."""
    module, _, name = path.partition(":")
    with suppress(ImportError, ValueError, OSError, SyntaxError, AttributeError):
        found = importlib.util.find_spec(module)
        file = Path(found.origin or "") if found is not None else Path()
        tree = ast.parse(file.read_text())
        own = next((one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name), None)
        lines = {column: node.lineno for node in (own.body if own else ()) for column in _columns(node)}
        quoted = next((one for one in _QUOTED.findall(reason) if one in lines), "")
        return _at(file, lines[quoted] if quoted else own.lineno if own else 1, reason)
    return reason


def _columns(node: ast.stmt) -> list[str]:
    """The names of a column that a line of a schema declares: its own, and its alias."""
    names = _names(node)
    value = getattr(node, "value", None)
    if isinstance(value, ast.Call):
        names += [
            one.value.value
            for one in value.keywords
            if one.arg == "alias" and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
        ]
    return names


def broken_module(error: BaseException, reason: str) -> str:
    """The reason of a module that cannot be imported, with its place where ``error`` is that of a user's own module."""
    cause = error if isinstance(error, BrokenModule) else error.__cause__
    if not isinstance(cause, BrokenModule) or cause.place is None:
        return reason
    return _at(*cause.place, _RAISED.sub("", reason, count=1))


def _at(file: Path, line: int, reason: str) -> InCode:
    placed = InCode(reason)
    placed.file, placed.line = file, line
    return placed


def _file(end: str) -> Path | None:
    """The file of a loaded module whose last parts are these."""
    files = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    return next((Path(file) for file in files if file and Path(file).as_posix().endswith(f"/{end}")), None)


def _line(tree: ast.Module, name: str, reason: str) -> int:
    """Line of what a reason speaks of, in the class of an object or else anywhere in its module."""
    made = next((node for node in tree.body if name in _names(node)), None)
    called = made.value.func if isinstance(made, ast.Assign) and isinstance(made.value, ast.Call) else None
    wanted = called.id if isinstance(called, ast.Name) else name
    own = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == wanted), None)
    method = _METHOD.search(reason)
    spoken = next((about for words, about in _SPOKEN if words.search(reason)), method[1] if method else "")
    for place in filter(None, (own, tree)):
        for node in place.body:
            if spoken and (getattr(node, "name", "") == spoken or spoken in _names(node)):
                return node.lineno
    for quoted in _QUOTED.findall(reason):
        for place in filter(None, (own, tree)):
            for node in ast.walk(place):
                if isinstance(node, ast.Constant) and node.value == quoted:
                    return node.lineno
    return (own or made or tree.body[0]).lineno if tree.body else 1


def _names(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
