"""``ml-platform trace``: from what answers back to the data and code it came from."""

import json as jsonlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.tree import Tree

from ml_platform.cli import screen
from ml_platform.cli.output import BadUsage, declared_model, written
from ml_platform.declarations.loading import project_catalogue
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.pipeline import cards, champions
from ml_platform.pipeline.answering import strange, went_live
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, ModelRef, VersionRef
from ml_platform.registry.registry import CHAMPION


def trace_model(target: str, json: Path | None) -> None:
    """Print the origin of a version: the live one, one of an alias, or one by number."""
    workspace = Workspace.reading()
    model, scores, partition = target.partition("/scores/")
    if scores:
        _trace_scores(workspace, declared_model(model), partition, json)
        return
    model, _, which = target.partition("@")
    _whole(workspace, [declared_model(model)])
    version = _version(workspace, model, which)
    found = _origin(workspace, version)
    screen.console().print(_tree(found))
    written(json, found)


def _trace_scores(workspace: Workspace, model: str, partition: str, json: Path | None) -> None:
    """Print which version scored a partition, from what, by which verdicts, and the origin of the version."""
    from ml_platform.pipeline import scores

    found = scores.at(workspace, model, partition)
    found["origin"] = _origin(workspace, workspace.registry.get(model, found["version"]), found["package"])
    tree = Tree(
        f"{model}/scores/{partition}: {found['rows']:,} rows (content {found['sha256'][:12]}) at commit "
        f"{found['commit'][:12]}, {found['path']}"
    )
    made = tree.add("made from")
    for name, sha256 in found["inputs"].items():
        made.add(f"{name}: {sha256[:12]}")
    for verdict in found["verdicts"]:
        tree.add(f"{verdict['gate']}: {verdict['status']}; {verdict['reason']}")
    tree.add(_tree(found["origin"]))
    screen.console().print(tree, soft_wrap=True)
    written(json, found)


def trace_request(request: str, model: str, json: Path | None) -> None:
    """Print what was answered to a request, and the origin of the version and of the history that answered."""
    from ml_platform.pipeline.requests import find, history_of

    workspace = Workspace.reading()
    models = [declared_model(model)] if model else sorted(project_catalogue().models)
    _whole(workspace, models)
    found = []
    for answered in find(workspace, models, request):
        first = answered.rows[0]
        version = workspace.registry.get(answered.model, int(first["model_version"]))
        package, history = first.get("package_sha256") or "", first.get("history_sha256") or ""
        one = {
            "rows": answered.rows,
            "history": history_of(workspace, history),
            "origin": _origin(workspace, version, package),
        }
        found.append(one)
        screen.console().print(_answer_tree(one), soft_wrap=True)
    written(json, jsonlib.loads(jsonlib.dumps(found, default=str)))


def trace_at(target: str, when: str, json: Path | None) -> None:
    """Print the origin of the version that answered at a time."""
    from ml_platform.pipeline.requests import at

    workspace, model = Workspace.reading(), declared_model(target)
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        raise BadUsage(f"{when!r} is no ISO time; write e.g. 2013-12-05T08:00:00+00:00") from None
    _whole(workspace, [model])
    then = at(workspace, model, moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    found = _origin(workspace, workspace.registry.get(model, then.version), then.package_sha256)
    found["promoted_at"] = then.since.isoformat()
    screen.console().print(f"{model}: version {then.version} answered then, promoted at {found['promoted_at']}")
    screen.console().print(_tree(found))
    written(json, found)


def _whole(workspace: Workspace, models: list[str]) -> None:
    """Raise Broken for a ledger that is; of a whole one, let it know what was promoted since somebody told it."""
    from ml_platform.pipeline.rollout import catch_up

    workspace.require_whole(models)
    catch_up(workspace, models)


def _version(workspace: Workspace, model: str, which: str) -> VersionRef:
    if which:
        return champions.find(workspace, model, which)
    newest = workspace.registry.latest(model)
    if newest is None:
        raise PlatformError(f"{model}: no version is registered; run the job {model}_train or ml-platform run first")
    number = champions.aliases(workspace, model).get(CHAMPION)
    return workspace.registry.get(model, number) if number else newest


def _origin(workspace: Workspace, version: VersionRef, package: str = "") -> dict[str, Any]:
    """Where a version came from. ``package``: the content of which verdicts are shown; default: of what answers."""
    from ml_platform.rollout.processes import read_state

    reference = version.model_ref
    state = read_state(workspace.settings)
    service = next(
        (item for item in state.services if (item.model, item.version) == (version.model, version.version)), None
    )
    route = state.routes.get(version.model)
    split, of = reference.split, reference.evaluated
    judged = package or (service.sha256 if service else "")
    live = state.live(version.model)
    why = strange(workspace, live.model, live.version, live.sha256) if live and live is not service else ""
    instead = f"version {live.version} ({live.sha256[:12]}) answers, but {why}" if live and why else ""
    gates = {gate.name: gate for gate in project_catalogue().model(version.model).gates}
    return {
        "model": version.model,
        "version": version.version,
        "approval": standing(workspace, version).status,
        **({"edited": lines} if (lines := list(cards.edited(workspace, version))) else {}),
        "service": {
            "url": route.url if route and route.version == version.version else service.url,
            "phase": service.phase,
            "bento": service.tag,
            "sha256": service.sha256,
            "promoted": went_live(workspace, service.model, service.version, service.sha256),
        }
        if service
        else None,
        **(
            {"instead": f"version {live.version} ({live.sha256[:12]}) answers, but {instead}"}
            if live and instead
            else {}
        ),
        "mlflow_run": reference.mlflow_run_id,
        "model_sha256": reference.file_hash,
        **({"model_code": reference.code} if reference.code else {}),
        "dagster_run": reference.run_id,
        "code_commit": reference.provenance.code_commit,
        "dirty": reference.provenance.dirty,
        "lock_sha256": reference.provenance.lock_sha256,
        "python": reference.provenance.python,
        "manifest": split.sha256,
        "refused": list(split.refused),
        "train": [_entry(workspace, entry) for entry in split.train],
        "holdout": [_entry(workspace, entry) for entry in split.holdout],
        **({"judged": _judged(workspace, of)} if reference.judged else {}),
        **({"trainer": reference.trainer} if ":" in reference.trainer else {}),
        "verdicts": [
            {
                "about": about,
                **_of_gate(gates, verdict),
                **verdict.model_dump(
                    include={"gate", "status", "observed", "threshold", "reason", "subject", "override"}
                ),
            }
            for about, subject in (
                ("split", of.split.sha256),
                ("model", of.sha256),
                *((("refit", reference.sha256),) if reference.judged else ()),
                *((("service", judged),) if judged else ()),
            )
            for verdict in workspace.ledger.verdicts(subject).values()
        ],
    }


def _of_gate(gates: Mapping[str, Gate], verdict: Verdict) -> dict[str, Any]:
    """Whose verdict it is: of a gate that is declared no more, or of a kind of one's own with its code as it stands."""
    gate = gates.get(verdict.gate)
    if gate is None:
        return {"undeclared": True}
    if ":" not in gate.gate:
        return {}
    return {"kind": gate.gate, "code": gate.own_code}


def _judged(workspace: Workspace, reference: ModelRef) -> dict[str, Any]:
    """What a refit was judged by: the model of the same recipe that did not learn from its holdout."""
    return {
        "model_sha256": reference.file_hash,
        "mlflow_run": reference.mlflow_run_id,
        "dagster_run": reference.run_id,
        "code_commit": reference.provenance.code_commit,
        "manifest": reference.split.sha256,
        "train": [_entry(workspace, entry) for entry in reference.split.train],
        "holdout": [_entry(workspace, entry) for entry in reference.split.holdout],
    }


def _entry(workspace: Workspace, entry: ManifestEntry) -> dict[str, Any]:
    from ml_platform.datasets.batches import batch_tag
    from ml_platform.datasets.store import NotFound

    own = {name: sha for name, sha in entry.inputs.items() if name.endswith(f"/{entry.partition}")}
    raw, sha256 = next(iter(own.items()))
    try:
        commit = workspace.store.resolve(batch_tag(raw.partition("/")[0], entry.partition, sha256))
    except NotFound as error:
        commit = f"gone ({error})"
    batch = f"{raw.partition('/')[0]}/batch/{entry.partition}"
    verdicts = {**workspace.ledger.judgement(batch, sha256), **workspace.ledger.verdicts(entry.sha256)}
    return {
        "partition": entry.label,
        "rows": entry.rows,
        "dataset_sha256": sha256,
        "dataset_commit": commit,
        "features_sha256": entry.sha256,
        "features_commit": entry.commit,
        "verdicts": {gate: verdict.shown for gate, verdict in verdicts.items()},
        "uncompared": [gate for gate, verdict in verdicts.items() if verdict.uncompared],
    }


def _answer_tree(found: dict[str, Any]) -> Tree:
    first, history = found["rows"][0], found["history"]
    when, package = first["predicted_at"], (first.get("package_sha256") or "-")[:12]
    tree = Tree(
        f"request {first['request_id']}: {len(found['rows'])} rows answered at {when:%Y-%m-%d %H:%M:%S} UTC "
        f"by version {first['model_version']}, package {package}"
    )
    if first.get("request_role"):
        tree.add(f"route {first['request_route']} as {first['request_role']}")
    for row in found["rows"][:10]:
        features = (row.get("features_sha256") or "-")[:12]
        tree.add(f"row {row['request_row']}: prediction {row['prediction']}, features {features}")
    if history is None:
        tree.add(f"history {(first.get('history_sha256') or '-')[:12]}: what it was made from is not known here")
    else:
        data = tree.add(f"history {history['sha256'][:12]} until {history['until']}, made from")
        for part in history["data"]:
            data.add(f"{part['partition']}: dataset commit {part['commit'][:12]} (content {part['sha256'][:12]})")
        if under_way := history["provisional"]:
            data.add(f"{under_way['partition']}, days: commit {under_way['commit'][:12]} ({under_way['sha256'][:12]})")
    tree.add(_tree(found["origin"]))
    return tree


def _tree(found: dict[str, Any]) -> Tree:
    service = found["service"]
    head = f"{service['url']} ({service['phase']}), bento {service['bento']}" if service else "no service runs it"
    tree = Tree(f"{found['model']}: {head}")
    if service and service["phase"] == "live" and not service["promoted"]:
        tree.add(f"package {service['sha256'][:12]} was never promoted: no verdict below is about it")
    for line in (*filter(None, [found.get("instead")]), *found.get("edited", ())):
        tree.add(line)
    version = tree.add(f"version {found['version']} ({found['approval']}), model file {found['model_sha256'][:16]}")
    if "model_code" in found:
        version.add("code of its " + ", ".join(f"{part} {code}" for part, code in found["model_code"].items()))
    run = version.add(f"MLflow run {found['mlflow_run']}, Dagster run {found['dagster_run']}")
    dirty = " with uncommitted changes" if found["dirty"] else ""
    if "trainer" in found:
        run.add(f"trainer {found['trainer']}")
    run.add(f"code {found['code_commit'][:12]}{dirty}, lock {found['lock_sha256'][:12]}, Python {found['python']}")
    manifest = run.add(
        f"manifest {found['manifest'][:16]}" + (f", refused: {', '.join(found['refused'])}" if found["refused"] else "")
    )
    _add_parts(manifest, found)
    if (judged := found.get("judged")) is not None:
        # The other one's rows are among those above; which of them it learned from is the question here.
        of = version.add(
            f"refit of the judged model {judged['model_sha256'][:16]}, MLflow run {judged['mlflow_run']}, code "
            f"{judged['code_commit'][:12]}"
        )
        _add_parts(of.add(f"manifest {judged['manifest'][:16]}"), judged)
    verdicts = tree.add("verdicts")
    for verdict in found["verdicts"]:
        status = "overridden" if verdict["override"] else verdict["status"]
        whose = " (no gate of this name is declared any more)" if verdict.get("undeclared") else ""
        whose = f" ({verdict['kind']}, its code now {verdict['code']})" if "kind" in verdict else whose
        verdicts.add(f"{verdict['about']} {verdict['gate']}{whose}: {status}; {verdict['reason']}")
    return tree


def _add_parts(manifest: Tree, found: dict[str, Any]) -> None:
    """The partitions of a manifest, part by part."""
    for part in ("train", "holdout"):
        branch = manifest.add(part if found[part] else f"{part}: nothing, it is a refit")
        for entry in found[part]:
            others = [f"{gate} {status}" for gate, status in entry["verdicts"].items() if status != "passed"]
            passed = f"{len(entry['verdicts']) - len(others)} gates passed"
            if alone := entry["uncompared"]:
                passed += f" ({len(alone)} of them with nothing to compare with)"
            branch.add(
                f"{entry['partition']}: {entry['rows']:,} rows, dataset commit {entry['dataset_commit'][:12]} "
                f"(content {entry['dataset_sha256'][:12]}), {', '.join([passed, *others])}"
            )
