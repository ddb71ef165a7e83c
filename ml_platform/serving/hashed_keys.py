"""Keys of rows with personal columns, as a hash: the values are kept nowhere, and an outcome still finds its row.

With a secret, since who has a list of customers could else find each of them by hashing all.
"""

import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, made
from ml_platform.foundation.times import instants

if TYPE_CHECKING:
    import polars as pl

#: File of the secret of an installation, below ``local``; never in a repository or a store.
FILE = "hash.key"


def hashed(frame: "pl.DataFrame", key: Sequence[str], secret: str) -> "pl.Series":
    """HMAC-SHA256 of the values of ``key`` of each row, hexadecimal, (rows,).

    Equal values of one type hash alike, times in whatever zone they are written.
    """
    import polars as pl

    salt = secret.encode()
    rows = frame.select(_plain(frame[name]) for name in key).iter_rows()
    return pl.Series([hmac.digest(salt, canonical_json(row).encode(), "sha256").hex() for row in rows], dtype=pl.String)


def _plain(values: "pl.Series") -> "pl.Series":
    """Values that are written alike whoever read them: a request has its times in UTC, and JSON has no NaN."""
    import polars as pl

    if isinstance(values.dtype, pl.Datetime):
        return instants(values)
    return values.fill_nan(None) if values.dtype.is_float() else values


def secret_of(local: Path, given: SecretStr) -> str:
    """The secret that the settings give, else that of the installation in the folder ``local``, made when it is first
    asked for. Raises PlatformError where it cannot be read."""
    if found := given.get_secret_value():
        return found
    path = made(local) / FILE
    try:
        return kept_secret(path)
    except OSError as error:
        raise PlatformError(
            f"{path}: the secret for keys in the prediction log cannot be read ({error.strerror}); make it readable, "
            "or set ML_PLATFORM_HASH_KEY"
        ) from error


def kept_secret(path: Path) -> str:
    """The secret in a file that this user alone may read, made when it is first asked for. Raises OSError."""
    if not path.exists():
        _make(path)
    return path.read_text().strip()


def _make(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(secrets.token_hex(32))
        stream.flush()
        os.fsync(stream.fileno())
    try:
        # Whole or not at all, and of two processes the first.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
