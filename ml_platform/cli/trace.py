"""``ml-platform trace``: from what answers back to the data and code it came from."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.tree import Tree

from ml_platform.cli.output import declared_model, written
from ml_platform.foundation.errors import PlatformError
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, VersionRef


def trace_model(target: str, json: Path | None) -> None:
    """Print the origin of a version: the live one, one of an alias, or one by number."""
    workspace = Workspace()
    model, _, which = target.partition("@")
    version = _version(workspace, declared_model(model), which)
    found = _origin(workspace, version)
    Console().print(_tree(found))
    written(json, found)


def _version(workspace: Workspace, model: str, which: str) -> VersionRef:
    if which:
        number = which.removeprefix("v")
        return workspace.registry.get(model, int(number) if number.isdigit() else which)
    version = workspace.registry.champion(model) or workspace.registry.latest(model)
    if version is None:
        raise PlatformError(f"{model}: no version is registered; run the job {model}_train or ml-platform run first")
    return version


def _origin(workspace: Workspace, version: VersionRef) -> dict[str, Any]:
    from ml_platform.pipeline.answering import promoted
    from ml_platform.rollout.processes import read_state

    reference = version.model_ref
    state = read_state(workspace.settings)
    service = next(
        (item for item in state.services if (item.model, item.version) == (version.model, version.version)), None
    )
    route = state.routes.get(version.model)
    split = reference.split
    return {
        "model": version.model,
        "version": version.version,
        "approval": standing(workspace, version).status,
        "service": {
            "url": route.url if route and route.version == version.version else service.url,
            "phase": service.phase,
            "bento": service.tag,
            "sha256": service.sha256,
            "promoted": promoted(workspace, service.model, service.sha256),
        }
        if service
        else None,
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
        "verdicts": [
            {
                "about": about,
                **verdict.model_dump(
                    include={"gate", "status", "observed", "threshold", "reason", "subject", "override"}
                ),
            }
            for about, subject in (
                ("split", split.sha256),
                ("model", reference.sha256),
                *((("service", service.sha256),) if service else ()),
            )
            for verdict in workspace.ledger.verdicts(subject).values()
        ],
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
    verdicts = {**workspace.ledger.verdicts(sha256), **workspace.ledger.verdicts(entry.sha256)}
    return {
        "partition": entry.partition,
        "rows": entry.rows,
        "dataset_sha256": sha256,
        "dataset_commit": commit,
        "features_sha256": entry.sha256,
        "features_commit": entry.commit,
        "verdicts": {gate: verdict.shown for gate, verdict in verdicts.items()},
    }


def _tree(found: dict[str, Any]) -> Tree:
    service = found["service"]
    head = f"{service['url']} ({service['phase']}), bento {service['bento']}" if service else "no service runs it"
    tree = Tree(f"{found['model']}: {head}")
    if service and service["phase"] == "live" and not service["promoted"]:
        tree.add(f"package {service['sha256'][:12]} was never promoted: no verdict below is about it")
    version = tree.add(f"version {found['version']} ({found['approval']}), model file {found['model_sha256'][:16]}")
    if "model_code" in found:
        version.add("code of its " + ", ".join(f"{part} {code}" for part, code in found["model_code"].items()))
    run = version.add(f"MLflow run {found['mlflow_run']}, Dagster run {found['dagster_run']}")
    dirty = " with uncommitted changes" if found["dirty"] else ""
    run.add(f"code {found['code_commit'][:12]}{dirty}, lock {found['lock_sha256'][:12]}, Python {found['python']}")
    manifest = run.add(
        f"manifest {found['manifest'][:16]}" + (f", refused: {', '.join(found['refused'])}" if found["refused"] else "")
    )
    for part in ("train", "holdout"):
        branch = manifest.add(part)
        for entry in found[part]:
            others = [f"{gate} {status}" for gate, status in entry["verdicts"].items() if status != "passed"]
            passed = len(entry["verdicts"]) - len(others)
            branch.add(
                f"{entry['partition']}: {entry['rows']:,} rows, dataset commit {entry['dataset_commit'][:12]} "
                f"(content {entry['dataset_sha256'][:12]}), {', '.join([f'{passed} gates passed', *others])}"
            )
    verdicts = tree.add("verdicts")
    for verdict in found["verdicts"]:
        status = "overridden" if verdict["override"] else verdict["status"]
        verdicts.add(f"{verdict['about']} {verdict['gate']}: {status}; {verdict['reason']}")
    return tree
