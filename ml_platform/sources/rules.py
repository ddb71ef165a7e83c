"""Sources as they are declared in ``defs.yaml``: strict models without any import of their libraries.

Secrets never stand here: addresses and options that hold one are named by the environment variable they are in.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

#: Options that would put a secret into a file that is committed.
_SECRET = re.compile(r"secret|token|passw|key|credential|connection_string|sas", re.IGNORECASE)
_ENV = r"^[A-Za-z_][A-Za-z0-9_]*$"


class SourceRule(BaseModel):
    """Base of all kinds of sources: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Files(SourceRule):
    """Files in CSV or Parquet, told apart by their endings."""

    #: Which partition a file belongs to. ``name``: to the one whose date its name holds (see ``date_format``);
    #: several files of one partition are joined in the order of their names. ``time``: its rows are divided by the
    #: dataset's time column. Without partitions all files are one table, and it is left out.
    by: Literal["name", "time"] | None = None
    #: With ``by: name``: how the date stands in the name, as for ``strptime``, e.g. ``%Y-%m-%d``, ``%Y%m``; with hourly
    #: partitions the hour in UTC, ``%Y-%m-%dT%H``.
    date_format: str | None = None
    #: Texts of CSV files that mean a missing value.
    missing: tuple[str, ...] = ("",)
    #: Separator of CSV files.
    separator: str = Field(",", min_length=1, max_length=1)
    #: Sign before the fraction of numbers in CSV files; with ``,`` points stand between thousands: ``1.234,5``.
    decimal: Literal[".", ","] = "."
    #: How dates and times stand in a text column that is not in ISO form, as for ``strptime``: ``{sold: "%d/%m/%Y"}``.
    formats: dict[str, str] = {}
    #: Columns to add with the day of a timestamp: ``{day: picked_up_at}``.
    days: dict[str, str] = {}
    #: Name of a column to add that identifies rows without a key: file and position in it, ``sales.csv:17``.
    row_id: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _format_given(self) -> "_Files":
        if (self.by == "name") != (self.date_format is not None):
            raise ValueError("date_format: by: name needs it, nothing else takes it")
        if self.date_format is not None and "%Y" not in self.date_format:
            raise ValueError("date_format: it needs at least the year, %Y")
        return self


class FolderSource(_Files):
    """A folder of this machine: ``{kind: folder, path: incoming, pattern: "flights_*.csv", by: time}``."""

    kind: Literal["folder"]
    #: Folder, absolute or below the project's root; ``$NAME`` stands for an environment variable.
    path: str = Field(min_length=1)
    #: Names of the files below it, with ``*``, ``?`` and ``**``.
    pattern: str = "*"


class FsspecSource(_Files):
    """Files at an address of fsspec: ``s3://bucket/prefix/*.parquet``, ``gs://…``, ``abfs://…``, ``file://…``.

    Credentials come from where the file system's own library looks for them (``AWS_ACCESS_KEY_ID``,
    ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_KEY`` …), or by ``options_env``.
    """

    kind: Literal["fsspec"]
    #: Address with a pattern; ``$NAME`` stands for an environment variable.
    url: str = Field(pattern=r"^[a-z][a-z0-9+.-]*://|^\$")
    #: Options of the file system that are no secret, e.g. ``{anon: true}``.
    options: dict[str, str | bool | int] = {}
    #: Option to the name of the environment variable that holds its value.
    options_env: dict[str, Annotated[str, Field(pattern=_ENV)]] = {}

    @field_validator("options")
    @classmethod
    def _no_secrets(cls, value: dict[str, object]) -> dict[str, object]:
        for name in value:
            if _SECRET.search(name):
                raise ValueError(f"{name} may be a secret: name an environment variable in options_env instead")
        return value

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str) -> str:
        if re.search(r"//[^/@]*:[^/@]*@", value):
            raise ValueError("the address holds a password; give it by options_env")
        return value


class SqlSource(SourceRule):
    """Rows of a SQL query between two days: the parameters ``:start`` and ``:end`` (exclusive) are ISO dates, of hours
    datetimes in UTC without a time zone. Without partitions it is one query, and has no parameters.

    ``{kind: sql, url_env: SALES_URL, query: "select * from sales where day >= :start and day < :end",
    fingerprint: "count(*), max(updated_at)"}``
    """

    kind: Literal["sql"]
    #: Environment variable that holds the SQLAlchemy URL.
    url_env: str = Field(pattern=_ENV)
    #: One statement; ``:start`` and ``:end`` (exclusive) are the days of the partition, or its hour in UTC.
    query: str = Field(min_length=1)
    #: What says that a partition changed: ``content`` reads all of it; anything else is a SQL expression over
    #: the query's rows (quick, and as good as the expression is).
    fingerprint: str = Field(min_length=1)
    #: Columns to add with the day of a timestamp: ``{day: picked_up_at}``.
    days: dict[str, str] = {}
    #: Rows that are fetched at once.
    chunk_rows: int = Field(50_000, ge=1)

    @field_validator("query")
    @classmethod
    def _one_statement(cls, value: str) -> str:
        return value.rstrip().rstrip(";")

    @property
    def unbound(self) -> list[str]:
        """Those of the two parameters that the query lacks."""
        return [name for name in (":start", ":end") if not re.search(rf"(?<!:){name}\b", self.query)]


class FunctionSource(SourceRule):
    """A Python function ``(start: date, end: date) -> polars.DataFrame``; ``end`` is exclusive. With hourly partitions
    both are datetimes in UTC. Without partitions it takes no arguments.

    A partition's fingerprint is that of the function's module, unless ``fingerprint`` names a second function
    ``(start, end) -> str``.
    """

    kind: Literal["function"]
    #: ``module:object``.
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    #: ``module:object``.
    fingerprint: str | None = Field(None, pattern=r"^[\w.]+:\w+$")


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return "object"
    return value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)


#: ``module:object`` (an object with ``partitions()`` and ``read(partition)``), or one of the kinds above.
AnySource = Annotated[
    Annotated[str, Tag("object")]
    | Annotated[FolderSource, Tag("folder")]
    | Annotated[FsspecSource, Tag("fsspec")]
    | Annotated[SqlSource, Tag("sql")]
    | Annotated[FunctionSource, Tag("function")],
    Discriminator(
        _kind,
        custom_error_type="unknown_source",
        custom_error_message="a source is module:object or has a kind: folder, fsspec, sql or function",
    ),
]
