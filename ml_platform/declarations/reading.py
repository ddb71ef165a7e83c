"""Reads the ``defs.yaml`` files of a project without Dagster, and says what is wrong with them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.known_keys import DOCUMENT_KEYS, TYPES, unknown_beside_attributes, unknown_key
from ml_platform.declarations.places import InCode, broken_module
from ml_platform.declarations.positions import Positions
from ml_platform.foundation.names import meant
from ml_platform.foundation.objects import BrokenModule
from ml_platform.foundation.project import Project

PLATFORM = "Platform"
#: A stretch of time with its unit, where a key has a unit of its own.
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(d|days?|h|hours?|w|weeks?|months?)\s*$", re.IGNORECASE)


class NoAttributes(BaseModel):
    """The component Platform takes no attributes: settings are environment variables."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Document:
    """One document of a ``defs.yaml``."""

    #: As shown to people: relative to the project.
    file: str
    value: Any
    positions: Positions
    #: Where the gates of the declaration stand, of which those with mistakes are left out; None: none is.
    gates: tuple[int, ...] | None = None

    def mistake(self, path: Sequence[str | int], reason: str) -> str:
        """One line: file, line, key, reason. ``path`` may lead deeper than the document goes."""
        if self.gates is not None and len(path) > 2 and path[1] == "gates" and isinstance(path[2], int):
            path = (*path[:2], self.gates[path[2]], *path[3:])
        line = self.positions.closest(path)
        key = ".".join(str(part) for part in path)
        return f"{self.file}:{line}: {key + ': ' if key else ''}{one_line(reason)}"


@dataclass
class Reading:
    """What reading the files of a project gave."""

    mistakes: list[str] = field(default_factory=list)
    declared: list[tuple[Declaration, Document]] = field(default_factory=list)
    platforms: list[Document] = field(default_factory=list)
    #: Names of declarations that have mistakes: that nothing else finds them is no mistake of its own.
    broken: set[str] = field(default_factory=set)
    #: Modules of users' own that raise: told where the first declaration names them, for there is one thing to mend.
    raising: set[str] = field(default_factory=set)

    def of_type(self, kind: type[Declaration]) -> list[Any]:
        """The declarations of one type that have no mistake in themselves."""
        return [spec for spec, _ in self.declared if isinstance(spec, kind)]


def read_declarations(project: Project) -> Reading:
    """Read every ``defs.yaml`` of a project."""
    reading = Reading()
    for file in project.files():
        _read(file, project, reading)
    return reading


def placed(project: Project, reason: str) -> str:
    """A mistake in code as one line, with its own file and line; empty for one of a declaration."""
    if not isinstance(reason, InCode):
        return ""
    file = reason.file.resolve()
    shown = file.relative_to(project.root) if file.is_relative_to(project.root) else file
    return f"{shown}:{reason.line}: {one_line(reason)}"


def one_line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())


def _read(file: Path, project: Project, reading: Reading) -> None:
    from yaml import YAMLError

    from ml_platform.declarations.positions import documents

    shown = str(file.relative_to(project.root))
    try:
        found = documents(file.read_text())
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reading.mistakes.append(f"{shown}{line}: {_no_yaml(error)}")
        return
    if not found:
        reading.mistakes.append(f"{shown}:1: type: the file declares nothing")
    for value, positions in found:
        _document(Document(shown, value, positions), project, reading)


def _no_yaml(error: Exception) -> str:
    """What is wrong with a text that is no YAML, or says one thing twice, and what mostly helps."""
    from ml_platform.declarations.positions import Twice

    said = one_line(str(getattr(error, "problem", None) or error))
    if isinstance(error, Twice):
        return said
    if isinstance(error, UnicodeDecodeError):
        help_ = "save the file as UTF-8"
    elif "\\t" in said or "\t" in said:
        help_ = "indent with spaces, not with tabs"
    elif "mapping values" in said:
        help_ = "a value with a colon and a space in it needs quotes, and keys of one level the same indent"
    else:
        help_ = "close every bracket and quote, and give keys of one level the same indent"
    return f"not YAML: {said}; {help_}"


def _document(document: Document, project: Project, reading: Reading) -> None:
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        reading.mistakes.append(document.mistake(("type",), "is missing; name a component, e.g. ml_platform.Model"))
        return
    package, _, name = value["type"].rpartition(".")
    if package.partition(".")[0] != "ml_platform":
        return
    for key in value:
        if key not in DOCUMENT_KEYS:
            said = unknown_beside_attributes(str(key), TYPES.get(name, NoAttributes))
            reading.mistakes.append(document.mistake((key,), said))
    if name == PLATFORM:
        reading.platforms.append(document)
    elif name not in TYPES:
        components = [f"ml_platform.{known}" for known in (*TYPES, PLATFORM)]
        known, near = ", ".join(components), meant(value["type"], components)
        reading.mistakes.append(
            document.mistake(("type",), f"unknown component {value['type']!r}; known: {known}{near}")
        )
        return
    kind, attributes = TYPES.get(name, NoAttributes), value.get("attributes") or {}
    try:
        spec = kind.model_validate(attributes)
    except ValidationError as error:
        reading.mistakes += [
            placed(project, reason) or document.mistake(("attributes", *mistake["loc"]), reason)
            for mistake in error.errors()
            if _is_new(mistake, reading)
            for reason in [_reason(mistake, kind, attributes)]
        ]
        if isinstance(attributes, dict):
            name, dataset = str(attributes.get("name", "features")), attributes.get("dataset")
            reading.broken.add(f"{dataset}/{name}" if kind is FeatureSpec else name)
            _rest(document, kind, attributes, error, reading)
        return
    if isinstance(spec, Declaration):
        reading.declared.append((spec, document))


def _is_new(mistake: Any, reading: Reading) -> bool:
    """Whether a mistake is not that of a module which was told before."""
    cause = getattr(mistake.get("ctx", {}).get("error"), "__cause__", None)
    if not isinstance(cause, BrokenModule):
        return True
    known = cause.module in reading.raising
    reading.raising.add(cause.module)
    return not known


def _rest(
    document: Document, kind: type[BaseModel], attributes: dict[str, Any], error: ValidationError, reading: Reading
) -> None:
    """Declare what is left without unknown keys and wrong gates, so that its other mistakes are told in the same round.

    Nothing else is left out: what would stand in its place was never meant.
    """
    unknown, wrong = set[str](), set[int]()
    for mistake in error.errors():
        match mistake["loc"]:
            case ("gates", int(index), *_):
                wrong.add(index)
            case (str(key),) if mistake["type"] == "extra_forbidden":
                unknown.add(key)
            case _:
                return
    gates, given = attributes.get("gates"), dict(attributes)
    kept = None
    if isinstance(gates, list) and wrong:
        kept = tuple(index for index in range(len(gates)) if index not in wrong)
        given["gates"] = [gates[index] for index in kept]
    try:
        spec = kind.model_validate({key: value for key, value in given.items() if key not in unknown})
    except ValidationError:
        return
    if isinstance(spec, Declaration):
        reading.declared.append((spec, replace(document, gates=kept)))


def _reason(mistake: Any, declared: type[BaseModel], attributes: Any) -> str:
    kind, value = mistake["type"], mistake.get("input")
    if kind == "extra_forbidden":
        *path, name = mistake["loc"]
        return unknown_key(str(name), path, declared, attributes)
    if kind == "missing":
        return "is missing"
    if kind in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        return f"has to be a list: [{str(value)[:60]}]"
    if kind.startswith(("int_", "float_")) and isinstance(value, str) and (stretch := _DURATION.match(value)):
        alone = (
            f"a number of days, without the word: {stretch[1]}"
            if stretch[2][0] in "dD"
            else "a number alone, in the unit of the key"
        )
        return f"has to be {alone} (found {value!r})"
    text = str(mistake["msg"]).removeprefix("Value error, ")
    if error := mistake.get("ctx", {}).get("error"):
        text = broken_module(error, text)
    return text if kind == "value_error" else f"{text} (found {str(value)[:60]!r})"
