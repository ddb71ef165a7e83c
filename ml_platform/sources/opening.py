"""Opens the source that a dataset declares. Nothing is read before it is asked."""

from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

from pydantic import Discriminator, Tag

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.objects import load_object, require_instance
from ml_platform.sources.context import SourceContext
from ml_platform.sources.kinds import SOURCES
from ml_platform.sources.partitions import Partitions
from ml_platform.sources.source import Source
from ml_platform.sources.source_rule import Found, SourceRule

if TYPE_CHECKING:
    import polars as pl


def rule_of(kind: str) -> type[SourceRule]:
    """How a kind of :data:`SOURCES` is declared."""
    return load_object(SOURCES[kind], "source")


def find_table(where: str, root: Path, url_env: str = "") -> Found:
    """The table at a path or an address, by the first kind of source that takes such; see :meth:`SourceRule.find`.

    Raises PlatformError where none does.
    """
    for kind in SOURCES:
        if found := rule_of(kind).find(where, root, url_env):
            return found
    raise PlatformError(
        f"{where}: nothing here reads what is at such an address; give a file, a folder, an address of an installed "
        "file system of fsspec (s3://…), or a table with --url-env"
    )


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return "object"
    return cast("dict[str, Any]", value).get("kind") if isinstance(value, dict) else getattr(value, "kind", None)


if TYPE_CHECKING:
    AnySource: TypeAlias = str | SourceRule
else:
    *_FIRST, _LAST = SOURCES
    #: ``module:object`` (an object with ``partitions()`` and ``read(partition)``), or one of the kinds.
    AnySource = Annotated[
        reduce(or_, (Annotated[rule_of(kind), Tag(kind)] for kind in SOURCES), Annotated[str, Tag("object")]),
        Discriminator(
            _kind,
            custom_error_type="unknown_source",
            custom_error_message=f"a source is module:object or has a kind: {', '.join(_FIRST)} or {_LAST}",
        ),
    ]


class OwnSource:
    """A source of one's own, held to what every source returns."""

    def __init__(self, rule: str, source: Source, partitions: Partitions) -> None:
        self.rule, self.source, self.declared = rule, source, partitions

    def check(self) -> None:
        """Raises DeclarationError where what it offers is no such thing; what it cannot say here, a run will tell."""
        try:
            found = cast("object", self.source.partitions())
        except Exception:  # its data need not be here: in CI, say
            return
        self._required(found)

    def partitions(self) -> dict[str, str]:
        """What it offers. Raises DeclarationError where that is no dict of texts, by keys of the declared form."""
        # A user's method may return anything.
        return self._required(cast("object", self.source.partitions()))

    def _required(self, found: object) -> dict[str, str]:
        who = f"source: {self.rule}: partitions() returned"
        if not isinstance(found, dict) or not all(isinstance(one, str) for pair in found.items() for one in pair):
            what = "a dict of other things than texts" if isinstance(found, dict) else type(found).__name__
            raise DeclarationError(
                f"{who} {what}; return a dict of partition to fingerprint, both texts, and {{}} where there is none"
            )
        offered = cast("dict[str, str]", found)
        for key, fingerprint in offered.items():
            if not fingerprint:
                raise DeclarationError(
                    f"{who} no fingerprint of {key}, an empty text; return one that changes when the content does"
                )
            try:
                self.declared.named(key)
            except DeclarationError as error:
                raise DeclarationError(f"{who} another key than the dataset has: {error}") from None
        return offered

    def read(self, partition: str) -> "pl.DataFrame":
        """The rows of a partition. Raises PlatformError where that is no DataFrame."""
        import polars as pl

        frame = cast("object", self.source.read(partition))
        if not isinstance(frame, pl.DataFrame):
            raise PlatformError(
                f"source: {self.rule}: read({partition!r}) returned {type(frame).__name__}, not a polars DataFrame"
            )
        return frame


def open_source(rule: AnySource, context: SourceContext) -> Source:
    """The source of a declaration: ``module:object``, or a mapping with a ``kind``.

    Raises DeclarationError where the object is not there or is no source, or does not fit the partitions.
    """
    if isinstance(rule, str):
        source = load_object(rule, "source")
        for method in ("partitions", "read"):
            if not callable(getattr(source, method, None)):
                raise DeclarationError(f"source: {rule} has no method {method}()")
        require_instance(source, rule, "source", ("partitions", "read"))
        return OwnSource(rule, source, context.partitions)
    return rule.open(context)
