"""What people read: on a terminal in its width, where a name is folded and never cut; elsewhere in whole lines."""

import sys

from rich.console import Console
from rich.table import Column, Table

#: Width of what is no terminal: no line of a pipe or a file is broken.
WIDE = 10_000


def console() -> Console:
    """The standard output, as it is now."""
    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table of columns in which nothing is cut off."""
    return Table(*(Column(name, overflow="fold") for name in columns), title=title)
