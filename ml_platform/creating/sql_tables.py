"""A stranger's table in a database: read whole once to be looked at, declared as a query of one partition at a time."""

import re
from datetime import datetime
from typing import Any

from ml_platform.creating.tables import Table, typed
from ml_platform.foundation.errors import PlatformError
from ml_platform.sources.columns import environment
from ml_platform.sources.context import SourceContext
from ml_platform.sources.partitions import WHOLE, Partitions
from ml_platform.sources.rules import SqlSource
from ml_platform.sources.sql import QuerySource


def read_sql(where: str, url_env: str, now: datetime) -> Table:
    """The rows of a table (``sales``, ``shop.sales``) or of a query in the database whose URL is in ``url_env``.

    Raises PlatformError where the variable is not set, the database refuses, or there are hardly any rows.
    """
    import polars as pl
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError

    try:
        quote = sa.make_url(environment(url_env, "--url-env")).get_dialect()().identifier_preparer.quote
    except (ArgumentError, ImportError) as error:
        raise PlatformError(f"--url-env: {url_env} is no usable address ({type(error).__name__})") from None
    query = bool(re.match(r"\s*(select|with)\b", where, re.IGNORECASE))
    if not query and not re.fullmatch(r"\w+(\.\w+)?", where):
        raise PlatformError(f"{where}: give the name of a table, or a query that begins with select")
    rows = f"({where.strip().rstrip(';')}) as given" if query else ".".join(map(quote, where.split(".")))
    declared: dict[str, Any] = {"kind": "sql", "url_env": url_env, "query": f"select * from {rows}"}
    declared["fingerprint"] = "content"
    name = "query" if query else where.rpartition(".")[2]
    context = SourceContext(name, (), "", Partitions.model_validate("none"), dict, lambda: now)
    raw = QuerySource(SqlSource.model_validate(declared), context).read(WHOLE)
    found, notes = {}, []
    for column in raw.columns:
        values, form = typed(raw[column])
        if form:
            notes.append(f"{column!r} holds dates that are not ISO: it is kept as text; convert it in a query")
        found[column] = raw[column] if form else values

    def bounded(time: str) -> str:
        """The query for one partition, by the column with its time."""
        return f"select * from {rows} where {quote(time)} >= :start and {quote(time)} < :end"

    return Table(name, pl.DataFrame(found), declared, 1, notes, bounded=bounded)
