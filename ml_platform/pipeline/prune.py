"""What nobody names any more, by age: packages, references, reports, refused corrections.

Kept whatever their age are packages that a rollout record, the latest reference or a promotion in the ledger names (a
rollback goes to them), reports of registered versions, the latest reference of everything, and what waits to be
published. MLflow's runs, the ledger and Dagster's history are left alone.
"""

import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from ml_platform.datasets import batches
from ml_platform.datasets.store import MAIN
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.documents.server import folder as reports
from ml_platform.ledger.kinds import PROMOTION
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.pipeline.workspace import Workspace

Kind = Literal["package", "reference", "report", "branch"]
DAY = 86400.0


class Old(NamedTuple):
    """Something that may go."""

    kind: Kind
    name: str
    age_days: float
    bytes: int
    #: What is removed: a file, a folder, or for a branch none.
    path: Path | None = None


def old(workspace: Workspace, catalogue: Catalogue, days: float) -> list[Old]:
    """What is older than ``days`` and named by nobody, oldest first of each kind."""
    found = [
        *_packages(workspace, catalogue),
        *_references(workspace),
        *_reports(workspace, catalogue),
        *_branches(workspace, catalogue),
    ]
    return sorted((one for one in found if one.age_days > days), key=lambda one: (one.kind, -one.age_days, one.name))


def remove(workspace: Workspace, items: list[Old]) -> None:
    """Remove what :func:`old` found. Killed in between, the next call removes the rest."""
    for one in items:
        if one.path is None:
            workspace.store.delete_branch(one.name)
        elif one.path.is_dir():
            # No reader sees half a package.
            going = one.path.with_name(f".removing-{one.path.name}")
            one.path.rename(going)
            _rmtree(going)
        else:
            one.path.unlink(missing_ok=True)
    for left in (workspace.settings.local / BENTOS).glob(".removing-*"):
        _rmtree(left)


def _rmtree(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)  # packages are read-only
    shutil.rmtree(folder)


def _age(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / DAY


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _packages(workspace: Workspace, catalogue: Catalogue) -> Iterator[Old]:
    named: set[str] = set()
    #: Versions of which the ledger names no package: an early release did not write it.
    whole: set[str] = set()
    for model in workspace.rollouts.models():
        record = workspace.rollouts.load(model)
        named |= {one.sha256 for one in (record.stable, record.candidate, record.previous) if one is not None}
    for model in catalogue.models:
        if (service := workspace.latest(f"{model}/service")) is not None:
            named.add(service.sha256)
    for entry in workspace.ledger.entries(kind=PROMOTION):
        if sha256 := str(entry.body.get("service", "")):
            named.add(sha256)
        else:
            whole.add(f"{entry.subject_name.removesuffix('/champion')}-{entry.body['version']}")
    short = {sha256[:12] for sha256 in named}
    for place in (workspace.settings.local / BENTOS).glob("*-*-*"):
        version, _, sha256 = place.name.rpartition("-")
        if not place.name.startswith(".") and sha256 not in short and version not in whole:
            yield Old("package", place.name, _age(place), _size(place), place)


def _references(workspace: Workspace) -> Iterator[Old]:
    root = workspace.settings.local / "refs"  # none are there where a database keeps them
    for file in root.rglob("*.json"):
        if not file.name.startswith(".") and file.name != "latest.json" and not _is_latest(file):
            yield Old("reference", str(file.relative_to(root)), _age(file), file.stat().st_size, file)


def _is_latest(file: Path) -> bool:
    latest = file.with_name("latest.json")
    return latest.exists() and latest.read_bytes() == file.read_bytes()


def _reports(workspace: Workspace, catalogue: Catalogue) -> Iterator[Old]:
    for model in catalogue.models:
        versions = [one.model_ref for one in workspace.registry.versions(model)]
        kept = {sha256[:16] for one in versions for sha256 in (one.sha256, one.evaluated.sha256)}
        if (evaluation := workspace.latest(f"{model}/evaluation")) is not None:
            kept.add(evaluation.sha256[:16])
        ours = re.compile(rf"{re.escape(model)}-(?:drift-)?([0-9a-f]{{16}})\.html")
        for file in reports(workspace.settings).glob("*.html"):
            if (found := ours.fullmatch(file.name)) and found[1] not in kept:
                yield Old("report", file.name, _age(file), file.stat().st_size, file)


def _branches(workspace: Workspace, catalogue: Catalogue) -> Iterator[Old]:
    """Staging branches of corrections beside a published content; a partition that was never published waits."""
    store, now = workspace.store, datetime.now(UTC)
    there = set(store.branches("stage-"))
    for dataset in catalogue.datasets:
        for partition in batches.published(store, dataset):
            branch = batches.staging_branch(dataset, partition)
            if branch in there:
                (last,) = store.log(branch, 1)
                age = (now - last.created) / timedelta(days=1)
                held = store.stat(branch, batches.batch_path(dataset, partition))
                if held.sha256 != store.stat(MAIN, held.path).sha256:
                    yield Old("branch", branch, age, held.size)
