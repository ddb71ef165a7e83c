"""``ml-platform validate``: every mistake in the declarations, one line each, without loading Dagster's graph."""

from collections.abc import Callable
from pathlib import Path

from ml_platform.cli.output import say, written
from ml_platform.datasets.factory import open_store
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.loading import find_mistakes, find_weak
from ml_platform.declarations.model import ModelSpec
from ml_platform.foundation.adapters import named_adapters
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.project import current_project
from ml_platform.foundation.provenance import without_commit
from ml_platform.foundation.settings import Settings, get_settings
from ml_platform.foundation.variables import SettingsMistake
from ml_platform.live.messages import own_channel
from ml_platform.references.factory import open_references
from ml_platform.rollout.factory import open_records


def validate_project(json: Path | None = None) -> int:
    """Print every mistake, and a warning for each gate that can hardly fail; 0 where there is no mistake, else 1."""
    mistakes, accepted = find_mistakes(current_project())
    if not mistakes:
        try:
            Catalogue.of(accepted).paused(get_settings().paused)
        except SettingsMistake as error:
            mistakes.append(str(error))
    mistakes += _wrong_adapters()
    for mistake in mistakes:
        say(mistake)
    warnings = [*find_weak(current_project())]
    if why := without_commit():
        warnings += [
            f"{spec.name}: gate replay needs the code of a commit, and {why} before it is trained"
            for spec in accepted
            if isinstance(spec, ModelSpec) and any(gate.gate == "replay" for gate in spec.gates)
        ]
        warnings += [
            f"{spec.name}: models of code of your own are compared with those before by their commits, and {why} "
            "before it is trained"
            for spec in accepted
            if isinstance(spec, ModelSpec) and any(":" in part for part in (spec.trainer, spec.task))
        ]
    for warning in warnings:
        say(f"warning: {warning}")
    gates = sum(len(spec.gates) for spec in accepted)
    if not mistakes:
        say(f"{len(accepted)} declarations and {gates} gates are in order")
    written(json, {"mistakes": mistakes, "warnings": warnings, "declarations": len(accepted), "gates": gates})
    return 1 if mistakes else 0


def _wrong_adapters() -> list[str]:
    """A line for each adapter of the project's own that is none, or cannot be opened."""
    settings, found = get_settings(), []
    openers: dict[str, Callable[[Settings], object]] = {
        "alerts": own_channel,
        "references": open_references,
        "rollouts": open_records,
        "store": open_store,
    }
    try:
        named = named_adapters(settings)
    except PlatformError as error:
        return [str(error)]
    for port in named:
        try:
            openers[port](settings)
        except PlatformError as error:
            found.append(str(error))
    return found
