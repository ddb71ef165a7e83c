"""The Dagster definitions of the project: everything that is declared below ``defs``."""

from pathlib import Path

import dagster as dg


@dg.definitions
def everything() -> dg.Definitions:
    """Load ``defs``."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
