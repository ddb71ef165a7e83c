"""``ml-platform validate``: every mistake in the declarations, one line each, without loading Dagster's graph."""

from ml_platform.declarations.loading import find_mistakes
from ml_platform.foundation.project import current_project


def validate_project() -> int:
    """Print every mistake; 0 where there is none, else 1."""
    mistakes, accepted = find_mistakes(current_project())
    for mistake in mistakes:
        print(mistake)
    if not mistakes:
        print(f"{len(accepted)} declarations and {sum(len(spec.gates) for spec in accepted)} gates are in order")
    return 1 if mistakes else 0
