"""``ml-platform data``: what happened to a dataset, what is in it, and taking a batch back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_platform.cli.output import BadUsage, Json, say, words, written
from ml_platform.foundation.settings import StoreKind
from ml_platform.ledger.kinds import PUBLICATION, ROLLBACK

if TYPE_CHECKING:
    from ml_platform.declarations.catalogue import Catalogue
    from ml_platform.declarations.dataset import DatasetSpec
    from ml_platform.pipeline.lineage import Use
    from ml_platform.pipeline.workspace import Workspace

data = typer.Typer(no_args_is_help=True, help="Versioned datasets: log, diff, show, rollback, copy, fsck, gc.")

Dataset = Annotated[str, typer.Argument(help="Name of a declared dataset.")]
Reference = Annotated[str, typer.Argument(help="Commit, tag or branch, with ~N for ancestors.")]


@data.command()
def log(
    dataset: Dataset,
    partition: Annotated[str, typer.Option(help="Only this partition.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 30,
    json: Json = None,
) -> None:
    """Publications and rollbacks, newest first."""
    from itertools import islice

    from ml_platform.pipeline.published import publication_log, strange

    workspace, _, spec = _opened(dataset)
    found = list(islice(publication_log(workspace, spec.name, partition or None), limit))
    rows = [
        (
            f"{item.created:%Y-%m-%d %H:%M}",
            item.partition,
            # A withdrawn partition that comes back takes nothing away, but has its reason.
            ROLLBACK if item.rolled_back or item.reason else PUBLICATION,
            item.sha256[:12] or "withdrawn",
            f"{item.rows:,}",
            f"{item.quarantined:,}" if item.quarantined else "-",
            item.commit[:12],
            item.run_id[:8],
            item.reason,
        )
        for item in found
    ]
    titles = ("when", "partition", "what", "content", "rows", "quarantined", "commit", "run", "reason")
    _table(titles, rows, f"{spec.name}: nothing was ever published")
    for one in strange(workspace, spec.name):
        if partition in ("", one.partition):
            say(f"{one.what}; {one.way_out}")
    written(json, [item._asdict() for item in found])


@data.command()
def diff(
    dataset: Dataset,
    left: Reference,
    right: Reference = "main",
    partition: Annotated[str, typer.Option(help="Only this partition.")] = "",
    json: Json = None,
) -> None:
    """Rows that were added, removed and changed (by the dataset's key) between two references."""
    from ml_platform.datasets.history import differences

    workspace, _, spec = _opened(dataset)
    found = differences(workspace.store, spec.name, left, right, spec.key, partition or None)
    rows = [
        (
            item.partition,
            f"{item.left[:12] or '-'} → {item.right[:12] or '-'}",
            *(f"{count:,}" for count in (item.added, item.removed, item.changed, item.equal)),
            ", ".join(f"{column} {count:,}" for column, count in list(item.columns.items())[:5]),
            ", ".join(
                [*(f"+{column}" for column in item.new_columns), *(f"-{column}" for column in item.lost_columns)]
            ),
        )
        for item in found
    ]
    titles = ("partition", "content", "added", "removed", "changed", "equal", "changed in", "columns")
    _table(titles, rows, f"{spec.name}: no difference between {left} and {right}")
    written(json, [item._asdict() for item in found])


@data.command()
def show(
    dataset: Dataset,
    partition: Annotated[str, typer.Argument(help="Partition, e.g. 2013-01-01.")],
    at: Annotated[str, typer.Option(help="Commit, tag or branch; default: what is published now.")] = "main",
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="How many rows.")] = 5,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="The rows that were set aside.")] = False,
    json: Json = None,
) -> None:
    """Schema, number of rows and first rows of a partition; columns marked pii are masked."""
    from ml_platform.datasets import quarantine as aside
    from ml_platform.datasets.batches import batch_path, read_at
    from ml_platform.foundation.errors import PlatformError
    from ml_platform.pipeline.published import strange
    from ml_platform.validation.evidence import json_rows
    from ml_platform.validation.schema import columns, mask

    workspace, _, spec = _opened(dataset)
    commit, path = workspace.store.resolve(at), batch_path(spec.name, partition)
    info = workspace.store.stat(commit, path)
    schema = spec.load_schema()
    if quarantine:
        frame = aside.quarantined(workspace.store, commit, spec.name, partition)
        if frame is None:
            raise PlatformError(f"{spec.name}/{partition} at {at}: no row was set aside")
        reasons = frame[aside.REASONS].head(rows)
        head = mask(frame.drop(aside.REASONS).head(rows), schema).with_columns(reasons.list.join("; "))
    else:
        frame = read_at(workspace.store, commit, path, info.sha256)
        head = mask(frame.head(rows), schema)
    known = {column.name: column for column in columns(schema)}
    listed = [
        {
            "column": name,
            "type": str(kind),
            "missing": frame[name].null_count(),
            "notes": ", ".join(
                note
                for note, true in (
                    ("not in the schema", name not in known),
                    ("pii", name in known and known[name].pii),
                    ("known afterwards", name in known and known[name].outcome),
                )
                if true
            ),
            "description": known[name].description if name in known else "",
        }
        for name, kind in frame.schema.items()
    ]
    say(
        f"{spec.name}/{partition}{' quarantine' if quarantine else ''}: {frame.height:,} rows, content "
        f"{info.sha256[:12]}, commit {commit[:12]}, "
        f"{aside.counted(workspace.store, commit, spec.name, partition):,} rows set aside"
    )
    for one in strange(workspace, spec.name):
        # What is shown of other commits says nothing of what is published.
        if at == "main" and partition == one.partition:
            say(f"{one.what}; {one.way_out}")
    _table(tuple(listed[0]) if listed else (), [tuple(map(str, item.values())) for item in listed], "")
    shown = json_rows(head)
    for row in shown:
        say("  ".join(f"{name}={value}" for name, value in row.items()))
    about = {"rows": frame.height, "sha256": info.sha256, "commit": commit, "columns": listed, "head": shown}
    written(json, {"dataset": spec.name, "partition": partition, **about})


@data.command()
def rollback(
    dataset: Dataset,
    partition: Annotated[str, typer.Argument(help="Partition, e.g. 2013-01-01.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.", callback=words("--reason"))],
    to: Annotated[str, typer.Option(help="First digits of the content to return to; default: the one before.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the partition out altogether.")] = False,
    by: Annotated[str, typer.Option(help="Who wants it; default: the actor in force.", callback=words("--by"))] = "",
    json: Json = None,
) -> None:
    """Publish an earlier content of a partition again, and show what was built from the present one."""
    from dataclasses import asdict

    from ml_platform.orchestration.data_jobs import roll_back_by_hand, stale_features, summary

    workspace, catalogue, spec = _opened(dataset)
    done = roll_back_by_hand(workspace, catalogue, spec, partition, reason=reason, to=to, withdraw=withdraw, by=by)
    say(summary(done))
    _show_uses(list(done.used_by))
    for part, why in done.unreadable.items():
        say(f"{part} cannot be read, so whether it uses that content is not known: {why}")
    stale = stale_features(workspace, catalogue, spec.name, done.withdrawn) if done.withdrawn else {}
    for key, partitions in stale.items():
        say(f"stale: {key} of {', '.join(partitions)}; materialize them again")
    written(json, {**asdict(done), "ref": done.ref.model_dump() if done.ref else None, "stale": stale})


@data.command("copy")
def copy_store(
    origin: Annotated[StoreKind, typer.Option("--from", help="The store that has it all.")],
    to: Annotated[StoreKind, typer.Option("--to", help="The store that gets it.")],
    json: Json = None,
) -> None:
    """Copy contents, history, tags and metadata into the other kind of store; repeated, it copies what is new.

    All are those of the settings, `own` the one that ML_PLATFORM_ADAPTERS names. Let the settings name the new one
    afterwards, everything else stays as it is.
    """
    from ml_platform.datasets.copying import copy
    from ml_platform.datasets.factory import open_kind
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.settings import get_settings
    from ml_platform.pipeline.workspace import Ports, Workspace

    settings, owners = get_settings(), {*project_catalogue().datasets}
    if origin == to:
        raise BadUsage(f"--from {origin} --to {to}: name two kinds of stores")
    old, new = (
        Workspace(settings, Ports(store=lambda workspace, kind=kind: open_kind(workspace.settings, kind)))
        for kind in (origin, to)
    )
    # With another ledger than that of its commits the copy could be read, and nothing be published in it.
    old.ledger.require_whole(owners)
    way = "`store` in ML_PLATFORM_ADAPTERS" if to == "own" else f"ML_PLATFORM_STORE={to}"
    way += " and no `store` in ML_PLATFORM_ADAPTERS" if origin == "own" else ""
    done = copy(old.store, new.store, lambda line: say(line, flush=True))
    new.ledger.require_whole(owners)
    say(
        f"{done.commits} commits copied, {done.known} were there; {done.branches} branches and {done.tags} tags hold "
        f"the same on both sides. Use it with {way}"
    )
    written(json, done._asdict())


@data.command()
def fsck(json: Json = None) -> None:
    """Read all that a branch or tag names and compare it with its recorded sha256, and main with what was published.

    Ends with 1 where something is damaged, or got in or out without the platform.
    """
    from ml_platform.datasets.maintenance import check
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline.published import elsewhere, mislabelled, strange
    from ml_platform.pipeline.rollback import published_again
    from ml_platform.pipeline.workspace import Workspace

    workspace = Workspace.reading()
    store = workspace.store
    problems = [*check(store), *(f"{one.what}; {one.way_out}" for one in strange(workspace)), *mislabelled(workspace)]
    for spec in project_catalogue().datasets.values():
        problems += [*filter(None, [elsewhere(workspace, spec.name)]), *published_again(workspace, spec).values()]
    for problem in problems:
        say(problem)
    found = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    say(found if problems else "all content is as it was written")
    written(json, problems)
    raise typer.Exit(1 if problems else 0)


@data.command()
def gc(
    grace_hours: Annotated[float, typer.Option(min=0, help="Files younger than this stay.")] = 24, json: Json = None
) -> None:
    """Remove bytes that no branch, tag or commit names."""
    from ml_platform.datasets.maintenance import collect
    from ml_platform.pipeline.workspace import Workspace

    removed = collect(Workspace.reading().store, grace_hours * 3600)
    say(f"{removed} files removed")
    written(json, {"removed": removed})


def trace_from_dataset(target: str, json: Path | None) -> None:
    """Print the registered versions and services that depend on a commit or content."""
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.errors import PlatformError
    from ml_platform.foundation.parts import Parts
    from ml_platform.pipeline.lineage import contents, known, uses
    from ml_platform.pipeline.workspace import Workspace

    workspace = Workspace.reading()
    named = contents(workspace.store, target)
    parts = Parts()
    found = uses(workspace, project_catalogue().models, named, parts)
    if named and not found and not known(workspace, named):
        raise PlatformError(f"no content begins with {target!r}; see ml-platform data log DATASET")
    for sha256, path in named.items():
        say(f"content {sha256[:16]}{f' ({path})' if path else ''}")
    if not named:
        say("that commit brought no content")
    _show_uses(found)
    for note in parts.notes:
        say(note)
    written(json, {"contents": named, "uses": [use._asdict() for use in found], "unreadable": parts.unreadable})
    parts.require_all()


def _show_uses(found: "list[Use]") -> None:
    rows = [
        (
            use.model,
            str(use.version),
            use.approval,
            ", ".join(use.aliases) or "-",
            "; ".join(f"{part} {', '.join(partitions)}" for part, partitions in use.parts.items()),
            ", ".join(f"{url} ({phase})" for url, phase in use.services) or "none runs",
        )
        for use in found
    ]
    _table(
        ("model", "version", "approval", "alias", "used for", "service"), rows, "no registered version depends on it"
    )


def _opened(dataset: str) -> "tuple[Workspace, Catalogue, DatasetSpec]":
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.foundation.settings import default_home
    from ml_platform.pipeline.workspace import Workspace

    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    catalogue = project_catalogue()
    return Workspace.reading(), catalogue, catalogue.dataset(dataset)


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]], empty: str) -> None:
    """Print columns side by side, never cut: hashes are there to be copied. Columns without any value are left out."""
    if not rows:
        say(empty)
        return
    used = [index for index in range(len(titles)) if any(row[index] not in ("", "-") for row in rows)]
    lines = [[row[index] for index in used] for row in (titles, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(used))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
