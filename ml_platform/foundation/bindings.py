"""Which module of a user's project each import is bound to, where the contents of the modules leave a choice.

A version of user code does not depend on where modules stand, so it covers what they do and not what they are called.
Two helpers that define the same names can then be exchanged without a trace; where that is possible, what each import
is bound to is part of the version. Elsewhere it is not, so that versions of before stay what they are.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ml_platform.foundation.files import canonical_json, sha256_bytes


class OwnImport(NamedTuple):
    """An import from the same project."""

    #: Name by which the code comes by it; of ``import a.b`` all of it, since the code says all of it.
    used_as: str
    #: The name in the module; empty for the module itself.
    name: str
    #: The module, and the one that the name means, where it is one.
    modules: tuple[str, ...]


class Source(NamedTuple):
    """A module of a user's project."""

    #: What it does, as a hash.
    essence: str
    imports: tuple[OwnImport, ...]
    #: Names that it gives to others; ``*`` among them for any.
    gives: frozenset[str]


class _Binding(NamedTuple):
    by: str
    imported: OwnImport
    to: str

    @property
    def said(self) -> tuple[str, str]:
        """What the code says of it, wherever the module stands."""
        return self.imported.used_as, self.imported.name


def bindings(start: str, sources: Mapping[str, Source]) -> list[str]:
    """What the imports from ``start`` on are bound to, as a list of one hash; empty where only one way is possible."""
    found = list(_bindings(sources))
    if not _ambiguous(found, sources):
        return []
    # After each round a label tells modules apart by what one import more leads to.
    labels = {name: source.essence for name, source in sources.items()}
    for _ in sources:
        labels = {
            name: sha256_bytes(
                canonical_json([label, sorted([*one.said, labels[one.to]] for one in found if one.by == name)])
            )
            for name, label in labels.items()
        }
    return [labels[start]]


def _bindings(sources: Mapping[str, Source]) -> Iterator[_Binding]:
    for name, source in sources.items():
        for one in source.imports:
            yield from (_Binding(name, one, to) for to in one.modules if to in sources)


def _ambiguous(found: list[_Binding], sources: Mapping[str, Source]) -> bool:
    """Whether an import could be bound to another module, and every module still be imported."""
    targets = {one.to for one in found}
    return any(
        _fits(one, other, sources) and (_elsewhere(one, found) or _exchanged(one, other, found, sources))
        for one in found
        for other in targets - {one.to, one.by}
    )


def _elsewhere(one: _Binding, found: list[_Binding]) -> bool:
    return any(other.to == one.to and other != one for other in found)


def _exchanged(one: _Binding, other: str, found: list[_Binding], sources: Mapping[str, Source]) -> bool:
    return any(its.to == other and its.by != one.to and _fits(its, one.to, sources) for its in found)


def _fits(one: _Binding, other: str, sources: Mapping[str, Source]) -> bool:
    """Whether an import would find what it names in another module as well."""
    name, gives = one.imported.name, {*sources[other].gives, other.rpartition(".")[2]}
    return name in ("", "*") or name in gives or "*" in gives
