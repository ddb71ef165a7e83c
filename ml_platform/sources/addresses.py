"""Batches from files at an address of fsspec."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.sources.columns import environment, expanded
from ml_platform.sources.files import Files, FilesRule, by_time, is_table, without_ending
from ml_platform.sources.source_rule import ENV, Found

#: Options that would put a secret into a file that is committed.
_SECRET = re.compile(r"secret|token|passw|key|credential|connection_string|sas", re.IGNORECASE)
#: What object stores say about the content of an object, by the keys that fsspec passes on.
_CONTENT_KEYS = ("ETag", "etag", "md5Hash", "content_md5", "md5", "crc32c")


class FsspecSource(FilesRule):
    """Files at an address of fsspec: ``s3://bucket/prefix/*.parquet``, ``gs://…``, ``abfs://…``, ``file://…``.

    Credentials come from where the file system's own library looks for them (``AWS_ACCESS_KEY_ID``,
    ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_KEY`` …), or by ``options_env``.
    """

    kind: Literal["fsspec"]
    #: Address with a pattern; ``$NAME`` stands for an environment variable.
    url: str = Field(pattern=r"^[a-z][a-z0-9+.-]*://|^\$")
    #: Options of the file system that are no secret, e.g. ``{anon: true}``.
    options: dict[str, str | bool | int] = Field({})
    #: Option to the name of the environment variable that holds its value.
    options_env: dict[str, Annotated[str, Field(pattern=ENV)]] = Field({})

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

    @classmethod
    def find(cls, where: str, root: Path, url_env: str = "") -> Found | None:
        """A file, several by ``*``, or everything below an address."""
        import fsspec

        if url_env or where.partition("://")[0] not in fsspec.available_protocols() or "://" not in where:
            return None
        is_file = where != without_ending(where)
        url = where if is_file or "*" in where else f"{where.rstrip('/')}/*"
        named = re.sub(r"/?[^/]*\*.*$", "", where).rstrip("/").rpartition("/")[2]
        declared = {"kind": "fsspec", "url": url}
        return Found(cls.model_validate({**declared, "by": "time"}), without_ending(named), declared, url, by_time)

    def files(self) -> Files:
        """The files at the address."""
        return _files(self)


def _files(rule: FsspecSource) -> Files:
    """The files at an address of fsspec. Raises PlatformError where its file system is not installed."""
    import fsspec

    secret = {option: environment(name, "source.options_env") for option, name in rule.options_env.items()}
    url = expanded(rule.url, "source.url")
    try:
        filesystem, pattern = fsspec.url_to_fs(url, **rule.options, **secret)
    except (ImportError, ValueError) as error:
        raise PlatformError(f"source.url: {url.partition('://')[0]}:// cannot be opened ({error})") from error
    hashed: dict[tuple[Any, ...], str] = {}

    def names() -> list[str]:
        # Listings are cached for the life of the process; new files would never be seen.
        filesystem.invalidate_cache()
        with _reported(url):
            return sorted(name for name in filesystem.glob(pattern) if is_table(name) and filesystem.isfile(name))

    def fingerprint(name: str) -> str:
        with _reported(url):
            about = filesystem.info(name)
            said = {key: str(about[key]) for key in _CONTENT_KEYS if about.get(key)}
            if said:
                return sha256_bytes(canonical_json({"size": about.get("size"), **said}))
            # The local and the in-memory file system say when a file changed, and nothing of its content.
            stamp = (name, about.get("size"), str(about.get("mtime")), str(about.get("created")))
            if stamp not in hashed:
                import hashlib

                with filesystem.open(name, "rb") as stream:
                    hashed[stamp] = hashlib.file_digest(stream, "sha256").hexdigest()
            return hashed[stamp]

    return Files(url, names, fingerprint, lambda name: filesystem.open(name, "rb"))


class _reported:
    """Turn an error of a file system into one line that names the address and never a credential."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, PlatformError):
            raise PlatformError(f"source: {self.url} cannot be read ({type(error).__name__}: {error})") from error
