"""Requests that two versions answered: from the prediction log, by our id of a request."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.settings import Settings
from ml_platform.serving.prediction_log import DAY, KEY_HASH, OWN

if TYPE_CHECKING:
    import polars as pl

#: Newest rows of each side that are read: more make no interval narrower that anybody would notice.
MOST = 200_000
#: What says which row of which request it is.
ROW = ("request_id", "request_row")
#: What is compared, where the log has it.
COMPARED = ("prediction", "probabilities", "answer_seconds")
#: Whether both were asked the same, by every input that both have logged: a copy that is none was sent by somebody.
SAME = "same"
_NO_INPUTS = OWN - {KEY_HASH}
#: In front of what the copies were answered.
COPY = "copy_"


def log_folder(settings: Settings) -> Path:
    """Where services of this installation write what they answered, a folder for each model."""
    return Path(settings.prediction_log or settings.local / "predictions")


def pairs(folder: Path, since: datetime, stable: str, candidate: str, by: Sequence[str] = ()) -> "pl.DataFrame":
    """Rows that the package ``stable`` answered and the package ``candidate`` was given a copy of, asked since then.

    ``folder`` is that of a model's log. Columns: those of :data:`ROW`, of :data:`COMPARED` as far as both sides have
    them, the copies' with :data:`COPY` in front, ``by``, and :data:`SAME`. Raises PlatformError for a file that
    cannot be read, and where the log lacks a column of ``by``.
    """
    import polars as pl

    frames: list[pl.DataFrame] = []
    inputs: set[str] | None = None
    read = 0
    for file in _newest(folder, since):
        frame = _read(file, by)
        if frame is None:
            continue
        of_stable = (pl.col("package_sha256") == stable) & (pl.col("request_role") == "stable")
        of_copies = (pl.col("package_sha256") == candidate) & (pl.col("request_role") == "shadow")
        frames.append(frame.filter(of_stable | of_copies, _asked() >= int(since.timestamp() * 1e9)))
        if frames[-1].height:
            logged = {*frame.columns} - _NO_INPUTS
            inputs = logged if inputs is None else inputs & logged
        read += frames[-1].height
        if read >= 2 * MOST:
            break
    if not frames:
        return pl.DataFrame(schema={**dict.fromkeys((*ROW, *by), pl.String), SAME: pl.Boolean})
    rows = pl.concat(frames, how="diagonal_relaxed")
    if missing := [name for name in by if name not in rows.columns]:
        raise PlatformError(f"{folder}: the prediction log has no column {missing[0]!r}")
    copied = pl.col("request_role") == "shadow"
    compared = [name for name in COMPARED if name in rows.columns]
    # A request that was sent again has two answers of one version.
    asked = sorted(inputs or ())
    kept = [*ROW, *compared, *(name for name in by if name not in compared)]
    given = rows.filter(~copied).select(*dict.fromkeys([*kept, *asked]))
    copies = rows.filter(copied).select(*ROW, pl.col(dict.fromkeys([*compared, *asked])).name.prefix(COPY))
    both = given.unique([*ROW], keep="first").join(copies.unique([*ROW], keep="first"), on=[*ROW])
    same = [pl.col(name).eq_missing(pl.col(f"{COPY}{name}")) for name in asked]
    return both.select(
        *kept, *(f"{COPY}{name}" for name in compared), pl.all_horizontal(pl.lit(True), *same).alias(SAME)
    )


def _asked() -> "pl.Expr":
    """When a request came to the router, in nanoseconds, as its id of it begins; of another id, none is too early."""
    import polars as pl

    return pl.col(ROW[0]).str.extract(r"^(\d{19})-").cast(pl.Int64).fill_null(2**63 - 1)


def _newest(folder: Path, since: datetime) -> list[Path]:
    """Files that were written since then, the newest first; their names begin with the time in nanoseconds."""
    first = since.timestamp()
    if not folder.is_dir():
        return []
    days = [path for path in folder.iterdir() if DAY.fullmatch(path.name) and path.stat().st_mtime >= first]
    files = [file for day in days for file in day.glob("*.parquet") if _nanoseconds(file) >= first * 1e9]
    return sorted(files, key=_nanoseconds, reverse=True)


def _nanoseconds(file: Path) -> int:
    written = file.name.partition("-")[0]
    return int(written) if written.isdigit() else 0


def _read(file: Path, by: Sequence[str]) -> "pl.DataFrame | None":
    """What is needed of a file; None where it has expired meanwhile, or an earlier release wrote it without ids."""
    import polars as pl

    try:
        there = pl.read_parquet_schema(file)
        if not {*ROW, "request_role", "package_sha256"} <= {*there}:
            return None
        wanted = dict.fromkeys(
            (
                *ROW,
                "request_role",
                "package_sha256",
                *COMPARED,
                *by,
                *(name for name in there if name not in _NO_INPUTS),
            )
        )
        return pl.read_parquet(file, columns=[name for name in wanted if name in there])
    except (OSError, pl.exceptions.PolarsError) as error:
        if not file.exists():
            return None
        raise PlatformError(f"{file} cannot be read ({type(error).__name__}); move it away") from error
