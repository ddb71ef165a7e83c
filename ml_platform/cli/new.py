"""``ml-platform new``: a table made into a gated model, as far as that goes without its people."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_platform.cli.output import OUTPUT, BadUsage, Json, say, written
from ml_platform.foundation.project import Project
from ml_platform.sources.partitions import Size

if TYPE_CHECKING:
    from ml_platform.creating.create import Created


def new(
    table: Annotated[str, typer.Argument(help="File or folder of CSV or Parquet, or an address such as s3://…/*.csv.")],
    target: Annotated[str, typer.Option("--target", help="Column that is to be predicted.")],
    time: Annotated[
        str, typer.Option("--time", help="Column with the time of the event, or none; default: found.")
    ] = "",
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Column that identifies a row; may be repeated.")
    ] = None,
    known_later: Annotated[
        list[str] | None,
        typer.Option("--known-later", help="Column that is known no sooner than the target; may be repeated."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Without time: column whose rows stay together, e.g. the customer."),
    ] = None,
    url_env: Annotated[
        str,
        typer.Option("--url-env", help="Variable with a database's URL; TABLE is then a table of it, or a query."),
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the dataset; default: that of the file.")] = "",
    every: Annotated[
        Size | None,
        typer.Option("--every", help="Size of a partition; default: found."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write files anew that say something else.")] = False,
    json: Json = None,
) -> None:
    """Make dataset, features and gated model of a table, and try them on its rows; 1 where the target is noise.

    Asks at most three questions on a terminal, none elsewhere. What it writes is yours to edit.
    """
    from ml_platform.creating.create import create
    from ml_platform.creating.roles import Wishes

    if not target.strip():
        raise BadUsage("--target: name the column that is to be predicted")
    os.environ.setdefault("DAGSTER_HOME", str(Project.find().root))
    out = sys.stderr if json == OUTPUT else sys.stdout

    def told(line: str) -> None:
        say(line, file=out, flush=True)

    wishes = Wishes(target, time, tuple(key or ()), tuple(known_later or ()), tuple(group or ()))
    asked = _ask if _terminal() else None
    made = create(table, wishes, name=name, url_env=url_env, every=every, force=force, ask=asked, told=told)
    for line in _lines(made):
        told(line)
    written(json, _plain(made))
    raise typer.Exit(int(made.noise))


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(question: str, guess: str) -> str:
    try:
        return input(f"{question} [{guess}] ") or guess
    except EOFError:
        return guess


def _lines(made: "Created") -> list[str]:
    """What was guessed, what was written, and what to type next."""
    from ml_platform.creating.home import ADDED

    plan, fit = made.plan, made.tried.fit
    parts = (
        f"{len(plan.partitions)} {plan.every}s from {plan.begins}, {plan.holdout} held out" if plan.timed else "no time"
    )
    lines = [
        f"{plan.name}: {plan.roles.task} of {plan.roles.target!r}; {parts}; key {', '.join(plan.roles.key)}",
        "guessed:",
    ]
    lines += [f"  - {note}" for note in made.notes]
    lines += [f"  - {name!r} is no feature: {why}" for name, why in plan.left_out.items() if why != "the target"]
    shown = ", ".join(f"{name} {fit.metrics[name]:.3g}" for name in fit.task.compared if name in fit.metrics)
    lines.append(f"a quick fit on rows it has not seen: {shown}")
    lines += [made.tried.linear] if made.tried.linear else []
    lines += [f"added to {name}: {ADDED[name]}" if name in ADDED else f"wrote {name}" for name in made.written]
    lines += [f"{name} is there already, as it would be written" for name in made.unchanged]
    if made.noise:
        lines.append(f"no model, and nothing is written: {_why(made)}")
    else:
        lines.append("next: ml-platform run")
    return lines


def _why(made: "Created") -> str:
    """Why no gate could tell the model from one that knows nothing, and the way out."""
    target, fit = made.plan.roles.target, made.tried.fit
    agreement = f"predictions agree with it by {fit.agreement:.1f} standard errors"
    if extreme := made.extreme:
        rows = "1 row decides" if extreme.count == 1 else f"{extreme.count} rows decide"
        return (
            f"{rows} every metric, with {extreme.carried:.1%} of the squared distances from the median. {extreme.told}."
            " Correct what is a mistake, or take those rows out; where they are right, predict the logarithm or a "
            "class. Then try again"
        )
    if fit.unrelated:
        return f"what is known before it says nothing of {target!r} ({agreement}). Bring columns that do, and try again"
    rows = fit.rows if fit.worthless else made.tried.first.rows
    return (
        f"on the {rows} rows that are held out it would do no better than a trivial one ({agreement}). Bring more "
        "rows, and try again"
    )


def _plain(made: "Created") -> dict[str, Any]:
    plan = made.plan
    return {
        "dataset": plan.name,
        "model": None if made.noise else plan.model,
        "task": plan.roles.task,
        "target": plan.roles.target,
        "time": plan.roles.time or None,
        "key": plan.roles.key,
        "known_later": plan.roles.later,
        "left_out": plan.left_out,
        "noise": made.noise,
        "metrics": made.tried.fit.metrics,
        "guessed": made.notes,
        "written": made.written,
        "unchanged": made.unchanged,
    }
