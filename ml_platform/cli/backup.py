"""``ml-platform backup`` and ``restore``: everything that runs write, as it is at one moment, and back at any path."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_platform.cli.output import Json, written

if TYPE_CHECKING:
    from ml_platform.pipeline.backup import Backup


def backup(folder: Annotated[Path, typer.Argument(help="A new folder, outside of .local.")], json: Json = None) -> None:
    """Copy store, ledger, registry, references and records to a folder, as they are at one moment; runs go on."""
    from ml_platform.foundation.settings import get_settings
    from ml_platform.pipeline.backup import back_up

    done = back_up(get_settings(), folder)
    print(
        f"{done.folder}: {done.files:,} files, {done.bytes / 1e6:,.1f} MB, as of {done.at}; "
        f"writers waited {done.held_seconds:.1f} s"
    )
    _told(done, json)


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder that `ml-platform backup` made.")], json: Json = None
) -> None:
    """Put a backup at .local (ML_PLATFORM_LOCAL), at any path and on any machine, every file compared with its sha256.

    .local must not be there. Nothing is started: `ml-platform serve --detach` lets the models answer again.
    """
    from ml_platform.foundation.settings import default_home, get_settings
    from ml_platform.pipeline import backup as backups

    settings = get_settings()
    done = backups.restore(settings, folder)
    ended: list[str] = []
    if (settings.local / "dagster").is_dir():
        import dagster as dg

        from ml_platform.orchestration.runs import end_dead_runs

        os.environ.setdefault("DAGSTER_HOME", str(default_home()))
        with dg.DagsterInstance.get() as instance:
            ended = end_dead_runs(instance, every=True)
    print(f"{done.folder}: {done.files:,} files, {done.bytes / 1e6:,.1f} MB, as of {done.at}, each as it was backed up")
    if ended:
        print(f"{len(ended)} runs were under way then and are marked as failed; ml-platform run takes up what is left")
    _told(done, json)
    print("next: ml-platform ledger verify, then ml-platform serve --detach")


def _told(done: "Backup", json: Path | None) -> None:
    for name in done.elsewhere:
        print(f"not part of it: {name}; back it up where it is, at a moment when nothing runs")
    written(json, done._asdict())
