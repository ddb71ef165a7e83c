"""Writes the tables of the pages beside it: gates, settings, protocols and keys from the code, dependencies
from ``pyproject.toml``.

``python docs/reference/generate.py`` writes them (``make docs``), ``--check`` ends with 1 where a page is not what
the code gives. A table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` on the page ``NAME.md``; the rest of a
page is written by hand.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import SecretStr

from ml_platform.evaluation.baselines import baseline_names
from ml_platform.foundation.settings import Settings
from ml_platform.foundation.variables import ServiceOptions
from ml_platform.gates.every_kind import KINDS
from ml_platform.gates.gate import Kind
from ml_platform.gates.stages import GATED
from ml_platform.models.task import TASKS, task_of

sys.path.insert(0, str(Path(__file__).resolve().parent))
from keys import Untold, tables
from protocols import ALIASES, GIVEN, PROTOCOLS, alias, made, members

HERE = Path(__file__).resolve().parent
PYPROJECT = HERE.parent.parent / "pyproject.toml"
#: Defaults that depend on the machine, in words.
COMPUTED = {"local": "`.local` in the project", "actor": "`$USER`"}
#: Any: no name of a baseline depends on them.
CLASSES = ("one", "other")
#: Where ``pyproject.toml`` lists dependencies: the table, and how a list begins there.
LISTS = {"[project]": r"(dependencies) = \[", "[project.optional-dependencies]": r"([\w-]+) = \["}


class OutOfDate(Exception):
    """A table cannot be made, or a page has no place for it."""


class Group(NamedTuple):
    """Packages that are there for one reason."""

    #: The extra that they belong to; empty: always installed.
    extra: str
    why: str
    requirements: list[str]


def gates() -> str:
    """One line per kind of gate, in the order in which data flows."""
    lines = ["| gate | stage | what is measured | keys |", "|---|---|---|---|"]
    for kind in sorted(KINDS.values(), key=lambda kind: GATED.index(kind.stage)):
        lines.append(f"| `{kind.name}` | {kind.stage} | {kind.description} | {_keys(kind)} |")
    return "\n".join(lines)


def settings() -> str:
    """One line per setting: environment variable, default, meaning; last those that a packaged service reads too."""
    lines = ["| `ML_PLATFORM_…` | default | what |", "|---|---|---|"]
    for name, field in sorted(Settings.model_fields.items(), key=lambda item: item[0] in ServiceOptions.model_fields):
        if not field.description:
            raise OutOfDate(f"setting {name} has no description: give its Field one")
        default = COMPUTED[name] if field.default_factory else _value(field.default)
        values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        named = f" {' or '.join(f'`{value}`' for value in values)}." if values else ""
        lines.append(f"| `{name.upper()}` | {default} | {field.description}{named} |")
    return "\n".join(lines)


def dependencies() -> str:
    """One line per reason: what is always installed, then the extras."""
    lines = ["| packages | extra | why |", "|---|---|---|"]
    for group in groups(PYPROJECT.read_text()):
        named = ", ".join(f"`{requirement}`" for requirement in group.requirements)
        lines.append(f"| {named} | {f'`{group.extra}`' if group.extra else ''} | {group.why} |")
    return "\n".join(lines)


def keys() -> str:
    """A table per part of a ``defs.yaml``: its keys. Raises OutOfDate for a key of which nothing is said."""
    try:
        return "\n".join(tables()).rstrip()
    except Untold as error:
        raise OutOfDate(str(error)) from error


def protocols() -> str:
    """A table per protocol that a user's own code may fulfil: its members, each with what its source says of it."""
    parts: list[str] = []
    for path in (*PROTOCOLS, *GIVEN):
        parts += [
            f"## {path.partition(':')[2]}",
            "",
            f"`{path}`",
            "",
            *((told, "") if (told := made(path)) else ()),
            "| member | what |",
            "|---|---|",
        ]
        parts += [f"| `{_cell(member)}` | {what} |" for member, what in members(path)] + [""]
    parts += ["## Names of types", "", "| name | stands for | what |", "|---|---|---|"]
    parts += [f"| `{path}` | `{_cell(stands)}` | {what} |" for path in ALIASES for stands, what in [alias(path)]]
    return "\n".join(parts).rstrip()


def _cell(code: str) -> str:
    return code.replace("|", chr(92) + "|")


def groups(pyproject: str) -> list[Group]:
    """The dependencies of a ``pyproject.toml``, each group with the comment above it.

    Raises OutOfDate for a dependency without a comment.
    """
    found: list[Group] = []
    table, extra, why, commented, inside = "", "", "", False, False
    for line in map(str.strip, pyproject.splitlines()):
        if line.startswith("#"):
            why = f"{why} {line[1:].strip()}" if commented else line[1:].strip()
            commented = True
            continue
        commented = False
        if line.startswith("["):
            table = line
        elif name := re.match(LISTS[table], line) if table in LISTS else None:
            extra, inside = name[1] if table != "[project]" else "", True
            # The comment above a list on one line is its reason; above a longer one it is about the list.
            why = why if line.endswith("]") else ""
        if inside:
            for requirement in re.findall(r'"([^"]+)"', line):
                if not found or (found[-1].extra, found[-1].why) != (extra, why):
                    found.append(Group(extra, why, []))
                found[-1].requirements.append(requirement)
        if line.endswith("]"):
            inside, why = False, ""
    return _complete(found, pyproject)


def _complete(found: list[Group], pyproject: str) -> list[Group]:
    project = tomllib.loads(pyproject)["project"]
    declared = {"": project["dependencies"], **project["optional-dependencies"]}
    for extra, requirements in declared.items():
        explained = [name for group in found if group.extra == extra and group.why for name in group.requirements]
        if missing := [name for name in requirements if name not in explained]:
            raise OutOfDate(f"pyproject.toml: {missing[0]} has no reason: write a comment above it")
    return found


TABLES: Mapping[str, Callable[[], str]] = {
    "gates": gates,
    "settings": settings,
    "dependencies": dependencies,
    "protocols": protocols,
    "keys": keys,
}


def filled(name: str, page: str) -> str:
    """The page with its table made anew. Raises OutOfDate where it does not have exactly one place for it."""
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    content = TABLES[name]() + "\n"
    page, count = between.subn(lambda match: match[1] + content + match[2], page)
    if count != 1:
        raise OutOfDate(
            f"{name}.md has {count} places for its table: it needs <!-- {name} --> and <!-- /{name} --> once"
        )
    return page


def _value(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`" if default != "" else "none"


def _keys(kind: Kind) -> str:
    """What has to be declared, with how many columns; of a fixed limit that."""
    told = [re.sub(r"\b(?!and\b|or\b)(\w+)", r"`\1`", key) for key in kind.keys]
    told = [key.replace("`columns`", f"`columns`{_number(kind)}") for key in told]
    if kind.name == "baseline":
        told.append(f"and may have `against`: {_baselines()}")
    if kind.limit is not None:
        told.append(f"at most {kind.limit:g}" if told else f"none: at most {kind.limit:g}")
    return ", ".join(told)


def _baselines() -> str:
    """What the models of each task are compared with."""
    named = {name: baseline_names(task_of(name, CLASSES)) for name in TASKS}
    told = {names: " and ".join(name for name, its in named.items() if its == names) for names in named.values()}
    return "; ".join(
        [
            *(f"{of} {', '.join(f'`{name}`' for name in names)}" for names, of in told.items()),
            "of one's own as it names",
        ]
    )


def _number(kind: Kind) -> str:
    """How many columns a kind takes, in brackets; empty where any number will do."""
    if isinstance(kind.columns, Mapping):
        told = [f"{of}: {_counted(number)}" for of, number in kind.columns.items()]
        return f" ({', '.join(told)})"
    return f" ({_counted(kind.columns)})" if kind.columns else ""


def _counted(number: tuple[int, int | None]) -> str:
    least, most = number
    return f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description="Write the tables of the reference pages.")
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 where a page is not current")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE, help="where the pages are")
    arguments = parser.parse_args()
    try:
        for name in TABLES:
            path: Path = arguments.folder / f"{name}.md"
            text = path.read_text()
            made = filled(name, text)
            if arguments.check and made != text:
                raise OutOfDate(f"{path.name} is not what the code gives: run `make docs`")
            if made != text:
                path.write_text(made)
    except OutOfDate as error:
        sys.exit(f"generate.py: {error}")


if __name__ == "__main__":
    main()
