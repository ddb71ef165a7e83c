"""``ml-platform refresh``: what services know of the past."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_platform.cli.output import limited, say, written
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline.workspace import Workspace


def refresh_histories(datasets: Sequence[str], models: Sequence[str], json: Path | None) -> int:
    """Refresh the histories of models that answer, of all or of some; 1 where one was refused or failed."""
    catalogue = project_catalogue()
    chosen = limited(catalogue, datasets, models)
    found, good = refresh_each(Workspace(), catalogue, list(chosen.models), say)
    written(json, found)
    return 0 if good else 1


def refresh_each(
    workspace: Workspace, catalogue: Catalogue, models: list[str], say: Callable[[str], object]
) -> tuple[dict[str, Any], bool]:
    """What came of each model that answers and has a history, told in a line; whether none was refused."""
    from ml_platform.pipeline.snapshot import refresh

    found: dict[str, Any] = {}
    good = True
    for name in models:
        context = ModelContext.of(catalogue, name)
        if not context.function.histories:
            continue
        try:
            done = refresh(workspace, context, Run.new())
        except MissingReference as error:
            found[name] = {"error": str(error)}
        except PlatformError as error:
            good = False
            found[name] = {"error": str(error)}
            say(f"{name}: its history was not refreshed: {error}")
        else:
            found[name] = done._asdict()
            if done.changed:
                say(f"{name}: version {done.version} answers with a history until {done.until} ({done.sha256[:12]})")
    return found, good
