"""The tables of README.md that are made from the code: settings and gates.

``make docs`` writes them again; a test compares them.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ml_platform.foundation.settings import Settings
from ml_platform.gates.catalogue import KINDS
from ml_platform.gates.gate import Kind
from ml_platform_tests.conftest import ROOT

README = ROOT / "README.md"
#: Defaults that depend on the machine, in words.
COMPUTED = {"local": "`.local` in the project", "actor": "`$USER`"}


def settings_table() -> str:
    """One line per setting: environment variable, default, meaning."""
    lines = ["| `ML_PLATFORM_…` | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = COMPUTED[name] if field.default_factory else _value(field.default)
        assert field.description, f"setting {name} has no description"
        lines.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def gates_table() -> str:
    """One line per kind of gate, in the order in which data flows."""
    order = ["batch", "dataset", "features", "split", "evaluation", "service", "deployment"]
    lines = ["| gate | stage | what is measured | keys |", "|---|---|---|---|"]
    for kind in sorted(KINDS.values(), key=lambda kind: order.index(kind.stage)):
        lines.append(f"| `{kind.name}` | {kind.stage} | {kind.description} | {_keys(kind)} |")
    return "\n".join(lines)


TABLES = {"settings": settings_table, "gates": gates_table}


def filled(text: str) -> str:
    """The text with every table between its markers ``<!-- NAME -->`` and ``<!-- /NAME -->`` made anew."""
    for name, table in TABLES.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        content = table() + "\n"
        text, count = between.subn(lambda match, content=content: match[1] + content + match[2], text)
        assert count == 1, f"README.md has {count} places for the table of {name}"
    return text


def _value(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`" if default != "" else "none"


def _keys(kind: Kind) -> str:
    if kind.limit is not None:
        return f"none: at most {kind.limit:g}"
    thresholds = " and ".join(f"`{name}`" for name in kind.needs) or "`min` or `max`"
    return ", ".join([*(f"`{name}`" for name in kind.requires), thresholds])


def main(readme: Path = README) -> None:
    """Write the tables into README.md."""
    readme.write_text(filled(readme.read_text()))


if __name__ == "__main__":
    main()
