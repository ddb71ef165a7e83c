"""``ml-platform validate``: every mistake in the declarations, one line each, without loading Dagster's graph."""

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.loading import find_mistakes, find_weak
from ml_platform.foundation.project import current_project
from ml_platform.foundation.settings import get_settings
from ml_platform.foundation.variables import SettingsMistake


def validate_project() -> int:
    """Print every mistake, and a warning for each gate that can hardly fail; 0 where there is no mistake, else 1."""
    mistakes, accepted = find_mistakes(current_project())
    if not mistakes:
        try:
            Catalogue.of(accepted).paused(get_settings().paused)
        except SettingsMistake as error:
            mistakes.append(str(error))
    for mistake in mistakes:
        print(mistake)
    for warning in find_weak(current_project()):
        print(f"warning: {warning}")
    if not mistakes:
        print(f"{len(accepted)} declarations and {sum(len(spec.gates) for spec in accepted)} gates are in order")
    return 1 if mistakes else 0
