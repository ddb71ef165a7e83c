"""A key with personal columns is kept as a hash with a secret that no repository has."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from pydantic import SecretStr

from ml_platform.foundation.settings import Settings
from ml_platform.rollout.processes import _environment
from ml_platform.rollout.record import Backend
from ml_platform.serving.hashed_keys import FILE, hashed, secret_of

ROWS = pl.DataFrame({"customer": ["a", "a", "b", None], "line": [1, 2, 1, 1]})


def test_equal_keys_have_equal_hashes_and_others_none_of_theirs() -> None:
    found = hashed(ROWS, ("customer", "line"), "secret")
    assert found.n_unique() == 4 and all(len(one) == 64 for one in found)
    assert hashed(ROWS.reverse(), ("customer", "line"), "secret").reverse().equals(found)
    assert not set(found) & set(hashed(ROWS, ("customer", "line"), "other"))


def test_a_time_is_the_same_in_each_zone() -> None:
    utc = pl.DataFrame({"at": [datetime(2024, 5, 1, 12, tzinfo=UTC)]})
    zone = "Europe/Berlin"
    berlin = utc.select(pl.col("at").dt.convert_time_zone(zone).cast(pl.Datetime("ms", zone)))
    assert hashed(utc, ["at"], "s").equals(hashed(berlin, ["at"], "s"))


def test_an_installation_has_a_secret_of_its_own_for_good(tmp_path: Path) -> None:
    secret = secret_of(tmp_path, SecretStr(""))
    file = tmp_path / FILE
    assert len(secret) == 64 and secret_of(tmp_path, SecretStr("")) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and [*tmp_path.iterdir()] == [file]
    assert secret_of(tmp_path, SecretStr("given")) == "given"
    assert secret_of(tmp_path / "other", SecretStr("")) != secret


def test_a_service_is_given_the_secret_and_the_clock(tmp_path: Path) -> None:
    settings = Settings(local=tmp_path, now="@clock.txt")
    given = _environment(settings, Backend(version=1, tag="m:1", sha256="a" * 64, path="bentos/a"))
    assert given["ML_PLATFORM_HASH_KEY"] == secret_of(tmp_path, settings.hash_key)
    # A relative name would be one below the working folder of the service.
    assert given["ML_PLATFORM_NOW"] == f"@{settings.clock_file}" and Path(given["ML_PLATFORM_NOW"][1:]).is_absolute()
