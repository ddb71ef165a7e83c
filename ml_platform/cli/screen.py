"""What people read: on a terminal in its width, where a name is folded and never cut; elsewhere in whole lines."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ml_platform.foundation.words import printable, shown

#: Width of what is no terminal: no line of a pipe or a file is broken.
WIDE = 10_000


def console() -> Console:
    """The standard output, as it is now."""
    return _Plain() if sys.stdout.isatty() else _Plain(width=WIDE)


class _Plain(Console):
    """A console to which text is text, whoever wrote it: what would draw or erase is written out."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text passes here, those in tables and trees, too."""
        return super().render_str(shown(text), **options)


class _Cells(Table):
    """A table whose cells are one line each."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add one."""
        super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table of columns in which nothing is cut off."""
    return _Cells(*(Column(name, overflow="fold") for name in columns), title=title)
