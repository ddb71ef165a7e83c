"""``predict``, ``status``, ``stop``."""

import json as jsonlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.cli import screen
from ml_platform.cli.output import declared_model, written
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from ml_platform.pipeline.published import Standing


def live_url(workspace: Workspace, model: str) -> str:
    """Address of the live service. Raises PlatformError where there is none."""
    from ml_platform.rollout.processes import read_state

    url = read_state(workspace.settings).url(model)
    if url is None:
        raise PlatformError(f"{model}: no service is live; run ml-platform serve, or deploy a version first")
    return url


def rows_of(workspace: Workspace, context: ModelContext, partition: str, limit: int) -> list[dict[str, Any]]:
    """Request rows from a published partition, the newest by default."""
    from ml_platform.pipeline.features import materializer_of
    from ml_platform.serving.schema import request_schema, to_rows

    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    known = materializer.published_partitions()
    chosen = partition or (known[-1] if known else "")
    if chosen not in known:
        raise PlatformError(
            f"{context.dataset.name}: {chosen or 'no partition'} is not published; "
            f"published: {', '.join(known) or 'none'}"
        )
    request = request_schema(context.function, context.dataset.load_schema(), context.dataset.added)
    return to_rows(request, materializer.raw(chosen).select(context.function.inputs).head(limit))


def predict_rows(model: str, file: Path | None, partition: str, limit: int) -> None:
    """Print the live service's answer as JSON."""
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.serving.client import predict

    workspace = Workspace()
    context = ModelContext.of(project_catalogue(), declared_model(model))
    if file is not None:
        try:
            given = jsonlib.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise PlatformError(f"{file}: cannot be read as JSON ({error})") from error
        rows: Any = given["rows"] if isinstance(given, dict) and "rows" in given else given
    else:
        rows = rows_of(workspace, context, partition, limit)
    answer = predict(live_url(workspace, model), rows, workspace.settings.secret_key.get_secret_value())
    print(jsonlib.dumps(answer, indent=1))


def show_status(json: Path | None) -> None:
    """Print what is published, registered and live."""
    from ml_platform.datasets import batches
    from ml_platform.datasets.unasked import unasked
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.pipeline import alerts, approval, candidate, champions, hand, rollout
    from ml_platform.pipeline.answering import answering, objections, under_way
    from ml_platform.pipeline.data import refused_corrections, refused_partitions
    from ml_platform.pipeline.published import standing
    from ml_platform.pipeline.rollback import published_again
    from ml_platform.registry.registry import CHAMPION
    from ml_platform.rollout.processes import read_state

    workspace, catalogue = Workspace.reading(), project_catalogue()
    workspace.require_whole(catalogue.models, catalogue.datasets)
    console = screen.console()
    for line in rollout.attend(workspace, catalogue.models):
        console.print(line, markup=False, soft_wrap=True)
    state = read_state(workspace.settings)
    data = screen.table("dataset", "published", "newest", "refused", "main at")
    found: dict[str, Any] = {
        "datasets": {},
        "models": {},
        "supervisor": state.running,
        "standing": {},
        "corrections": {},
        "edited": [],
    }
    for name, spec in catalogue.datasets.items():
        published = sorted(batches.published(workspace.store, name))
        refused = sorted(refused_partitions(workspace, spec))
        head = workspace.store.resolve("main")
        found["datasets"][name] = {"published": published, "refused": refused, "main": head}
        data.add_row(
            name, str(len(published)), published[-1] if published else "-", ", ".join(refused) or "-", head[:12]
        )
    models = screen.table("model", "newest candidate", "newest version", "approval", "champion", "service", "phase")
    notes: list[str] = []
    for name in catalogue.models:
        newest = workspace.registry.latest(name)
        champion = champions.aliases(workspace, name).get(CHAMPION) if newest else None
        service, url, phase = answering(state, name)
        trained = candidate.newest(workspace, ModelContext.of(catalogue, name))
        decision = approval.standing(workspace, newest) if newest else None
        models.add_row(
            name,
            f"{trained.sha256[:8]} {trained.said}" if trained else "-",
            str(newest.version) if newest else "-",
            decision.said if decision else "-",
            str(champion or "-"),
            url or "-",
            phase,
        )
        found["models"][name] = {
            "candidate": trained.status if trained else None,
            "because": trained.reason if trained else None,
            "version": newest.version if newest else None,
            "approval": decision.status if decision else None,
            "champion": champion,
            "url": url,
            "phase": phase,
        }
        shown = sorted({number for number in (champion, newest and newest.version) if number})
        found["edited"] += [line for number in shown for line in _edited(workspace, name, number)]
        record = workspace.rollouts.load(name) if name in workspace.rollouts.models() else None
        if record is not None and (said := under_way(record)):
            notes.append(said)
        if service is not None:
            went_live = found["models"][name]["promoted"] = champions.promoted(
                workspace, name, service.version, service.sha256
            )
            notes += objections(workspace, service, went_live)
    console.print(data)
    strange = unasked(workspace.store)
    found["unasked"] = [one._asdict() for one in strange]
    for one in strange:
        console.print(f"{one.what}; {one.way_out}", soft_wrap=True, markup=False, highlight=False)
    for name, spec in catalogue.datasets.items():
        now = standing(workspace, spec)
        found["standing"][name] = now._asdict()
        for partition, verdicts in refused_corrections(workspace, spec).items():
            gates = found["corrections"].setdefault(name, {})[partition] = [verdict.gate for verdict in verdicts]
            said = f"{name} {partition} is published, a correction of it is refused by {', '.join(gates)}"
            console.print(f"{said}; ml-platform why {name}/{partition}", soft_wrap=True, markup=False, highlight=False)
        again = found.setdefault("published_again", {})[name] = published_again(workspace, spec)
        for line in (*again.values(), *_standing(name, now)):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(models)
    for note in [*notes, *found["edited"]]:
        console.print(note, markup=False, soft_wrap=True)
    needed = alerts.standing(workspace, catalogue)
    found["alerts"] = [alert._asdict() for alert in needed]
    found["paused"] = hand.paused(workspace, catalogue)
    for line in [*(alert.said for alert in needed), *(f"{name}: {said}" for name, said in found["paused"].items())]:
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    console.print(f"supervisor: {'running' if state.running else 'not running'}")
    written(json, found)


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


def stop_everything() -> None:
    """Stop services and supervisor; says what was stopped."""
    from ml_platform.rollout.control import stop_all
    from ml_platform.rollout.processes import read_state

    workspace = Workspace()
    before = read_state(workspace.settings)
    supervised, count = before.running, len(before.services)
    stop_all(workspace.settings)
    if supervised or count:
        services = "1 service" if count == 1 else f"{count} services"
        print(f"stopped {services}{' and the supervisor' if supervised else ''}")
    else:
        print("no service runs")
