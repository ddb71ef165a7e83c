"""``status``: what is published, registered and live, part by part, so that one that cannot be read hides no other."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from ml_platform.cli import screen
from ml_platform.cli.output import limited, written
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.adapters import named_adapters
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.provenance import platform_code
from ml_platform.foundation.words import printable
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from ml_platform.ledger.ledger import Ledger
    from ml_platform.pipeline.published_verdicts import Standing
    from ml_platform.rollout.processes import SupervisorState

#: The part that others hang on.
LEDGER = "the ledger"


def watch_status(datasets: Sequence[str] = (), models: Sequence[str] = (), seconds: float = 2.0) -> None:
    """Print it whenever it has changed, until interrupted; on a terminal in place of what stood there."""
    console, before = screen.console(), ""
    try:
        while True:
            with console.capture() as captured:
                try:
                    show_status(None, datasets, models, console=console)
                except PlatformError as error:
                    console.print(printable(f"ml-platform: {error}"), soft_wrap=True, markup=False, highlight=False)
            if (shown := captured.get()) != before:
                before = shown
                if console.is_terminal:
                    console.clear()
                sys.stdout.write(f"{datetime.now():%H:%M:%S}\n{shown}\n")
                sys.stdout.flush()
            sleep(seconds)
    except KeyboardInterrupt:
        return


def show_status(
    json: Path | None, datasets: Sequence[str] = (), models: Sequence[str] = (), *, console: "Console | None" = None
) -> None:
    """Print what is published, registered and live, of everything or of some.

    Raises PlatformError, last, where a part cannot be read.
    """
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.ledger import itself
    from ml_platform.pipeline import alerts, automation, published, rollout
    from ml_platform.rollout.processes import SupervisorState, read_state

    workspace, everything = Workspace.reading(), project_catalogue()
    catalogue = limited(everything, datasets, models)
    # Where the setting itself is wrong, no part of any store can be read.
    named_adapters(workspace.settings)
    console, parts = console or screen.console(), Parts()

    def say(lines: "Iterator[str] | list[str]") -> None:
        for line in lines:
            console.print(printable(line), soft_wrap=True, markup=False, highlight=False)

    workspace = _whole(workspace, catalogue, parts)
    say(parts.notes)
    told: list[str] = []
    if LEDGER not in parts.unreadable:
        say(rollout.attend(workspace, catalogue.models))
        say(told := itself.brief(workspace.ledger))
    state = parts.read("the supervisor's state", lambda: read_state(workspace.settings), SupervisorState())
    found: dict[str, Any] = {
        "ledger": told,
        "datasets": {},
        "models": {},
        "supervisor": state.running,
        "supervisor_outdated": (outdated := state.running and state.code != platform_code()),
        "standing": {},
        "corrections": {},
        "published_again": {},
        "edited": [],
        "unreadable": parts.unreadable,
    }
    data = screen.table("dataset", "published", "newest", "refused", "main at")
    for name, spec in catalogue.datasets.items():
        row = found["datasets"][name] = parts.read(f"dataset {name}", partial(_published, workspace, spec), {})
        refusals = parts.read(f"what is refused of dataset {name}", partial(_refused, workspace, spec), None)
        if refusals is not None:
            row["refused"] = refusals
        there, refused = row.get("published", []), "?" if refusals is None else ", ".join(refusals) or "-"
        counted = str(len(there)) if "published" in row else "?"
        data.add_row(name, counted, there[-1] if there else "-", refused, row.get("main", "?")[:12])
    console.print(data)
    unasked = parts.read("what got into the store unasked", lambda: published.strange(workspace), [])
    found["unasked"] = [one._asdict() for one in unasked]
    for name in catalogue.datasets:
        about = f"whether {name} is in this store"
        say(list(filter(None, [parts.read(about, partial(published.elsewhere, workspace, name), "")])))
    say([f"{one.what}; {one.way_out}" for one in unasked])
    say(parts.read("what the store says of published batches", lambda: published.mislabelled(workspace), []))
    for name, spec in catalogue.datasets.items():
        say(parts.read(f"what stands of dataset {name}", lambda spec=spec: list(_stands(workspace, spec, found)), []))
    answering = screen.table("model", "newest candidate", "newest version", "approval", "champion", "service", "phase")
    for name in catalogue.models:
        context = ModelContext.of(catalogue, name)
        answering.add_row(name, *_model(workspace, context, state, found, parts))
    console.print(answering)
    needed = [] if LEDGER in parts.unreadable else alerts.standing(workspace, catalogue)
    found["alerts"] = [alert._asdict() for alert in needed]
    paused = parts.read("what is paused", lambda: automation.paused(workspace, everything), {})
    chosen = {*catalogue.datasets, *catalogue.models}
    found["paused"] = {name: said for name, said in paused.items() if name in chosen}
    say([*_told_once(parts), *found["edited"]])
    say([*(alert.said for alert in needed), *(f"{name}: {said}" for name, said in found["paused"].items())])
    said = "; it runs other code than is installed now: restart it (docs/operate.md, Upgrade)" if outdated else ""
    console.print(f"supervisor: {'running' if state.running else 'not running'}{said}", soft_wrap=True)
    written(json, found)
    parts.require_all()


def _whole(workspace: Workspace, catalogue: Catalogue, parts: Parts) -> Workspace:
    """The workspace; where its ledger is broken or away, one in which whatever asks for it is told so.

    Decisions that a cut ledger lost would be shown as pending, and a champion as never promoted.
    """
    # By itself first: MLflow that is away is no broken ledger.
    parts.read("MLflow", lambda: workspace.registry, None)
    try:
        if "MLflow" in parts.unreadable:
            workspace.ledger.require_whole({*catalogue.models, *catalogue.datasets})
        else:
            workspace.require_whole(catalogue.models, catalogue.datasets)
    except PlatformError as error:
        parts.missed(LEDGER, error)
        # First, whatever else could not be read.
        parts.notes.insert(0, parts.notes.pop())
        return _without_ledger(workspace, str(error))
    return workspace


def _without_ledger(workspace: Workspace, why: str) -> Workspace:
    def broken(_: Workspace) -> "Ledger":
        raise PlatformError(why)

    return Workspace(workspace.settings, replace(workspace.ports, ledger=broken, anchors=lambda _: ()))


def _told_once(parts: Parts) -> list[str]:
    """Notes on parts; what the ledger alone holds back is one line."""
    why = parts.unreadable.get(LEDGER)
    if why is None:
        return [*dict.fromkeys(parts.notes)]
    held = [part for part, reason in parts.unreadable.items() if reason == why and part != LEDGER]
    others = [note for note in dict.fromkeys(parts.notes) if why not in note]
    return [*others, *([f"not told without the ledger: {', '.join(held)}"] if held else [])]


def _published(workspace: Workspace, spec: DatasetSpec) -> dict[str, Any]:
    from ml_platform.datasets import batches

    return {
        "published": sorted(batches.published(workspace.store, spec.name)),
        "main": workspace.store.resolve("main"),
    }


def _refused(workspace: Workspace, spec: DatasetSpec) -> list[str]:
    from ml_platform.pipeline.data import refused_partitions

    return sorted(refused_partitions(workspace, spec))


def _stands(workspace: Workspace, spec: DatasetSpec, found: dict[str, Any]) -> Iterator[str]:
    """What is to be said of a dataset, a line each."""
    from ml_platform.pipeline.data import refused_corrections
    from ml_platform.pipeline.published_verdicts import standing
    from ml_platform.pipeline.rollback import published_again

    name, now = spec.name, standing(workspace, spec)
    found["standing"][name] = now._asdict()
    for partition, verdicts in refused_corrections(workspace, spec).items():
        gates = found["corrections"].setdefault(name, {})[partition] = [verdict.gate for verdict in verdicts]
        said = f"{name} {partition} is published, a correction of it is refused by {', '.join(gates)}"
        yield f"{said}; ml-platform why {name}/{partition}"
    again = found["published_again"][name] = published_again(workspace, spec)
    yield from again.values()
    yield from _standing(name, now)


def _model(
    workspace: Workspace, context: ModelContext, state: "SupervisorState", found: dict[str, Any], parts: Parts
) -> list[str]:
    """The row of a model; what of it cannot be read is a question mark."""
    from ml_platform.pipeline import approval, candidate, champions, going_live, recorded_versions
    from ml_platform.pipeline.answering import answering, objections, under_way, went_live
    from ml_platform.registry.registry import CHAMPION

    name = context.model.name
    newest = parts.read(f"versions of {name}", lambda: workspace.registry.latest(name), None)
    champion = parts.read(
        f"the champion of {name}", lambda: champions.aliases(workspace, name).get(CHAMPION) if newest else None, None
    )
    service, url, phase = parts.read(f"what answers for {name}", lambda: answering(state, name), (None, None, "?"))
    trained = parts.read(f"the candidate of {name}", lambda: candidate.newest(workspace, context), None)
    decision = parts.read(
        f"decisions on {name}", lambda: approval.standing(workspace, newest) if newest else None, None
    )
    row = found["models"][name] = {
        "candidate": trained.status if trained else None,
        "because": trained.reason if trained else None,
        "version": newest.version if newest else None,
        "approval": decision.status if decision else None,
        "champion": champion,
        "url": url,
        "phase": phase,
    }
    about = f"which versions of {name} were exchanged"
    exchanged = parts.read(about, lambda: list(recorded_versions.doubts(workspace, name)), [])
    for number in sorted({number for number in (champion, newest and newest.version) if number}):
        about = f"version {number} of {name}"
        found["edited"] += parts.read(about, lambda number=number: list(_edited(workspace, name, number)), [])
    found["edited"] += [line for line in exchanged if line not in found["edited"]]
    record = parts.read(
        f"the rollout record of {name}",
        lambda: workspace.rollouts.load(name) if name in workspace.rollouts.models() else None,
        None,
    )
    if record is not None and (said := under_way(record)):
        parts.notes.append(said)
    stays = f"what of {name} does not go live by itself"
    parts.notes += parts.read(stays, lambda: [one.said for one in going_live.in_the_way(workspace, name, newest)], [])
    if service is not None:
        part = f"whether what answers for {name} was promoted"
        promoted = row["promoted"] = parts.read(
            part, lambda: went_live(workspace, name, service.version, service.sha256), False
        )
        if part not in parts.unreadable:
            parts.notes += parts.read(part, lambda: list(objections(workspace, service, promoted)), [])
    return [
        f"{trained.sha256[:8]} {trained.said}" if trained else "-",
        str(newest.version) if newest else "-",
        decision.said if decision else "-",
        str(champion or "-"),
        url or "-",
        phase,
    ]


def _edited(workspace: Workspace, model: str, number: int) -> Iterator[str]:
    """What is to be said of a version in MLflow, a line each."""
    from ml_platform.pipeline import cards

    try:
        version = workspace.registry.get(model, number)
    except MissingReference as error:
        yield f"{error}, which the ledger promoted last"
    else:
        yield from cards.edited(workspace, version)


def _standing(name: str, now: "Standing") -> Iterator[str]:
    """What is to be said of published partitions, a line each."""
    for partition, gates in now.failing.items():
        yield (
            f"{name} {partition} is published and would fail now: {', '.join(gates)}; no split is made with it until "
            f"it is corrected or taken out (ml-platform data rollback {name} {partition} --withdraw --reason TEXT)"
        )
    for partition, gates in now.let_in.items():
        yield f"{name} {partition} is published, since a person let it pass {', '.join(gates)}"
    for partition, said in now.uncompared.items():
        yield f"{name} {partition}: {said}"
    if now.unjudged:
        yield f"{name}: judged otherwise than as declared now, the next split judges again: {', '.join(now.unjudged)}"
