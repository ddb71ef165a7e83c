"""YAML as Dagster reads it (dates stay text), with the line of every key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Safe values; what looks like a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Twice(yaml.MarkedYAMLError):
    """A key that stands twice in one mapping: YAML takes the last without a word."""


@dataclass(frozen=True)
class Positions:
    """Where a value stands, and the values inside it."""

    #: Line, from 1.
    line: int
    inside: dict[str | int, "Positions"] = field(default_factory=dict)

    def closest(self, path: Sequence[str | int]) -> int:
        """Line of the value at ``path``, or of the last on the way that is there."""
        if path and path[0] in self.inside:
            return self.inside[path[0]].closest(path[1:])
        return self.line


def documents(text: str) -> list[tuple[Any, Positions]]:
    """The documents of a YAML file with their positions. Raises yaml.YAMLError, Twice among them."""
    loader = _Loader(text)
    try:
        found = []
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                found.append((loader.construct_document(node), _positions(node, node.start_mark.line + 1)))
        return found
    finally:
        loader.dispose()


def _positions(node: yaml.Node, line: int) -> Positions:
    if isinstance(node, yaml.MappingNode):
        first: dict[object, int] = {}
        for key, _ in node.value:
            if (before := first.setdefault(key.value, key.start_mark.line + 1)) != key.start_mark.line + 1:
                said = f"the key {key.value!r} stands there twice, first in line {before}; keep one of them"
                raise Twice(problem=said, problem_mark=key.start_mark)
        # A mapping stands where its key stands, so that the line named is the one to look at.
        inside = {key.value: _positions(value, key.start_mark.line + 1) for key, value in node.value}
        return Positions(line, inside)
    if isinstance(node, yaml.SequenceNode):
        return Positions(line, dict(enumerate(_positions(one, one.start_mark.line + 1) for one in node.value)))
    return Positions(line)
