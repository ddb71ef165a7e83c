"""The root of the definitions: every ``defs.yaml`` below ``defs/``."""

from functools import cache
from pathlib import Path

import dagster as dg


@dg.definitions
@cache  # Dagster asks twice in each process of a run, and means the same
def defs() -> dg.Definitions:
    """Load the components of this project."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
