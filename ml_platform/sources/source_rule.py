"""What every kind of source is as it is declared in ``defs.yaml``: a strict model beside what it opens.

Secrets never stand there: addresses and options that hold one are named by the environment variable they are in.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from ml_platform.sources.context import SourceContext
from ml_platform.sources.source import Source

#: Names of environment variables.
ENV = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Found(NamedTuple):
    """A stranger's table, as a kind of source finds it: what ``ml-platform new`` reads once and then declares."""

    #: Delivers all rows, without partitions.
    rule: "SourceRule"
    #: What the table is called.
    name: str
    #: The keys of ``source``, as far as they are known without a row.
    declared: dict[str, Any]
    #: What it is, for people.
    said: str
    #: The keys of ``source`` that divide its rows into partitions, by the column with their time.
    partitioned: Callable[[str], dict[str, Any]]

    @property
    def adds_row_id(self) -> bool:
        """Whether sources of the kind can tell rows apart that no column does."""
        return "row_id" in type(self.rule).model_fields


class SourceRule(BaseModel, ABC):
    """Base of all kinds of sources; a field ``kind`` is a Literal of its name. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def open(self, context: SourceContext) -> Source:
        """The source; nothing is read. Raises DeclarationError where it does not fit the dataset's partitions."""

    @classmethod
    def find(cls, where: str, root: Path, url_env: str = "") -> Found | None:
        """The table at a path or an address (or of that name, where ``url_env`` names the variable with the address);
        None where such is of no source of this kind. ``root``: the project's folder, below which paths are declared.

        Raises PlatformError where it is of this kind and there is none.
        """
        return None

    @property
    def added(self) -> dict[str, str]:
        """Columns that the source adds, by the keys of a kind that has them: with ``days`` the day of a timestamp with
        its column, with ``row_id`` the identity of a row with nothing."""
        fields: dict[str, Any] = dict(self)
        return {**fields.get("days", {}), **({fields["row_id"]: ""} if fields.get("row_id") else {})}

    @property
    def nearby(self) -> str:
        """What there has to be on this machine for a few rows to be looked at before a run; empty where it is
        elsewhere. Such a source is :class:`ml_platform.sources.source.Sampled`."""
        return ""
