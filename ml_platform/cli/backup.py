"""``ml-platform backup``, ``restore`` and ``prune``: what runs wrote, kept, put back, and thrown away."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_platform.cli.output import Json, say, written

if TYPE_CHECKING:
    from ml_platform.pipeline.backup import Backup


def backup(folder: Annotated[Path, typer.Argument(help="A new folder, outside of .local.")], json: Json = None) -> None:
    """Copy store, ledger, registry, references and records to a folder, as they are at one moment; runs go on."""
    from ml_platform.foundation.settings import get_settings
    from ml_platform.pipeline.backup import back_up

    done = back_up(get_settings(), folder)
    say(
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
    say(f"{done.folder}: {done.files:,} files, {done.bytes / 1e6:,.1f} MB, as of {done.at}, each as it was backed up")
    if ended:
        say(f"{len(ended)} runs were under way then and are marked as failed; ml-platform run takes up what is left")
    _told(done, json)
    say("next: ml-platform ledger verify, then ml-platform serve --detach")


def prune(
    days: Annotated[float, typer.Option("--days", min=1, help="Only what is older than this.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it; remove nothing.")] = False,
    json: Json = None,
) -> None:
    """Remove packages, references, reports and refused corrections that are old and that nobody names any more.

    What a version, the ledger or a rollout record names stays, whatever its age.
    """
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.prune import old, remove
    from ml_platform.pipeline.workspace import Workspace

    workspace = Workspace()
    found = old(workspace, project_catalogue(), days)
    if not dry_run:
        remove(workspace, found)
    for kind in sorted({one.kind for one in found}):
        of_kind = [one for one in found if one.kind == kind]
        say(f"{kind}: {len(of_kind)}, {sum(one.bytes for one in of_kind) / 1e6:,.1f} MB")
        if dry_run:
            for one in of_kind:
                say(f"  {one.name}, {one.age_days:.0f} days old")
    freed = sum(one.bytes for one in found)
    say(f"{freed / 1e6:,.1f} MB {'would be' if dry_run else 'were'} removed" if found else "nothing is that old")
    written(json, [one._asdict() for one in found])


def _told(done: "Backup", json: Path | None) -> None:
    for name in done.elsewhere:
        say(f"not part of it: {name}; back it up where it is, at a moment when nothing runs")
    written(json, done._asdict())
