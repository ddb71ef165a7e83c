"""Members of the protocols that one's own code may fulfil, as their source tells them: name, signature, sentence."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

#: What a user may implement, in the order of docs/extend.md.
PROTOCOLS = (
    "ml_platform.features.contract:FeatureFunction",
    "ml_platform.training.trainer:Trainer",
    "ml_platform.models.predictor:Predictor",
    "ml_platform.models.predictor:OptionalPredictor",
    "ml_platform.models.task:Task",
    "ml_platform.models.task:OptionalTask",
    "ml_platform.sources.source:Source",
    "ml_platform.references.references:References",
    "ml_platform.rollout.records:RolloutRecords",
    "ml_platform.live.messages:AlertChannel",
    "ml_platform.datasets.store:VersionedStore",
)


#: What their members take and give, and names of types.
GIVEN = ("ml_platform.training.trainer:Trained", "ml_platform.models.predictor:Importance")
ALIASES = (
    "ml_platform.training.trainer:Frames",
    "ml_platform.models.task:Output",
    "ml_platform.models.task:Curve",
    "ml_platform.references.refs:AnyRef",
)


def made(path: str) -> str:
    """How what fulfils the protocol is made: the paragraph of its docstring that begins so; empty where it has none."""
    told = ast.get_docstring(_protocol(path)[0]) or ""
    return next(
        (" ".join(part.split()).replace("``", "`") for part in told.split("\n\n") if part.startswith("Made ")), ""
    )


def members(path: str) -> Iterator[tuple[str, str]]:
    """Each member of the protocol ``module:Class``, as code, with what its source says of it."""
    protocol, text = _protocol(path)
    comment = ""
    for node in protocol.body:
        if isinstance(node, ast.AnnAssign):
            # What stands above an attribute is about those below it, up to the next comment.
            comment = above(text.splitlines(), node.lineno) or comment
            yield ast.unparse(node), comment
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            attribute = any(ast.unparse(one) == "property" for one in node.decorator_list)
            told = sentences(ast.get_docstring(node) or "")
            yield (f"{node.name}: {_type(node.returns)}" if attribute and node.returns else _call(node)), told


def _protocol(path: str) -> tuple[ast.ClassDef, str]:
    """The class ``module:Class`` and the text of its module."""
    module, _, name = path.partition(":")
    text = _text(module)
    (protocol,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name]
    return protocol, text


def _text(module: str) -> str:
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None, module
    return Path(found.origin).read_text()


def _call(node: ast.FunctionDef) -> str:
    names = [one.arg for one in node.args.posonlyargs + node.args.args if one.arg not in ("self", "cls")]
    more = [one.arg for one in node.args.kwonlyargs]
    gives = "" if node.returns is None or _type(node.returns) == "None" else f" -> {_type(node.returns)}"
    return f"{node.name}({', '.join([*names, *(['*'] if more else []), *more])}){gives}"


def _type(node: ast.expr) -> str:
    """A type as it is written, without the quotes of one that is imported for readers only."""
    written = ast.unparse(node)
    return written if written.startswith("Literal") else written.replace("'", "").replace('"', "")


def alias(path: str) -> tuple[str, str]:
    """What ``module:NAME`` of a type without members stands for, and what its source says of it."""
    module, _, name = path.partition(":")
    text = _text(module)
    for node in ast.parse(text).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(node, ast.Assign):
            return _type(node.value), above(text.splitlines(), node.lineno)
    raise AssertionError(f"{path} is no name of a type")


def above(lines: list[str], number: int) -> str:
    said: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not (text := line.strip()).startswith("#:"):
            break
        said.insert(0, text.removeprefix("#:").strip())
    return first_sentence(" ".join(said))


def sentences(text: str) -> str:
    """All that a docstring says, in one line: what, shapes, errors."""
    return " ".join(first_sentence(part) for part in text.split("\n\n"))


def first_sentence(text: str) -> str:
    text = re.sub(r":[a-z]+:(?=`)", "", text.partition("\n\n")[0])
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")
