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
    "ml_platform.models.task:Task",
    "ml_platform.sources.source:Source",
    "ml_platform.references.references:References",
    "ml_platform.rollout.records:RolloutRecords",
    "ml_platform.datasets.store:VersionedStore",
)


def made(path: str) -> str:
    """How what fulfils the protocol is made: the paragraph of its docstring that begins so; empty where it has none."""
    told = ast.get_docstring(_protocol(path)[0]) or ""
    return next(
        (" ".join(part.split()).replace("``", "`") for part in told.split("\n\n") if part.startswith("Made ")), ""
    )


def members(path: str) -> Iterator[tuple[str, str]]:
    """Each member of the protocol ``module:Class``, as code, with the first sentence that its source says of it."""
    protocol, text = _protocol(path)
    comment = ""
    for node in protocol.body:
        if isinstance(node, ast.AnnAssign):
            # What stands above an attribute is about those below it, up to the next comment.
            comment = above(text.splitlines(), node.lineno) or comment
            yield ast.unparse(node), comment
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            attribute = any(ast.unparse(one) == "property" for one in node.decorator_list)
            told = first_sentence(ast.get_docstring(node) or "")
            yield (f"{node.name}: {ast.unparse(node.returns)}" if attribute and node.returns else _call(node)), told


def _protocol(path: str) -> tuple[ast.ClassDef, str]:
    """The class ``module:Class`` and the text of its module."""
    module, _, name = path.partition(":")
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None, module
    text = Path(found.origin).read_text()
    (protocol,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name]
    return protocol, text


def _call(node: ast.FunctionDef) -> str:
    names = [one.arg for one in node.args.posonlyargs + node.args.args if one.arg not in ("self", "cls")]
    more = [one.arg for one in node.args.kwonlyargs]
    return f"{node.name}({', '.join([*names, *(['*'] if more else []), *more])})"


def above(lines: list[str], number: int) -> str:
    said: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not (text := line.strip()).startswith("#:"):
            break
        said.insert(0, text.removeprefix("#:").strip())
    return first_sentence(" ".join(said))


def first_sentence(text: str) -> str:
    text = re.sub(r":[a-z]+:(?=`)", "", text.partition("\n\n")[0])
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")
