"""Rebuild a model from its manifest, code commit, lock and seed, in a clean folder and a fresh process, and compare."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ml_platform.datasets.batches import batch_path, batch_tag
from ml_platform.datasets.store import VersionedStore
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance, current
from ml_platform.gates.replay import Replay
from ml_platform.references.refs import ModelRef
from ml_platform.replay import environments
from ml_platform.replay.checkout import checked_out, variables
from ml_platform.sources.partitions import Partitions

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluate import Evaluation

#: Longest time of a replay, seconds.
TIMEOUT = 6 * 3600.0
#: Where a replay finds its packages: ``recorded`` installs the lock of the commit where that is another than the one
#: here, ``present`` takes what is installed here.
Environment = Literal["recorded", "present"]
#: Where the code of a model is in no commit.
_WAY_OUT = "put the project under Git (git init, git add -A, git commit) and train again (ml-platform run)"
T = TypeVar("T", FeatureSpec, DatasetSpec)


def warnings(reference: ModelRef, here: Provenance) -> tuple[str, ...]:
    """What is known to differ from the first training, in sentences."""
    then = reference.provenance
    found = []
    if then.dirty:
        found.append(
            f"it was trained with uncommitted changes on top of {then.code_commit[:12]}; the replay has the commit only"
        )
    if then.lock_sha256 != here.lock_sha256:
        found.append(f"it was trained under lock {then.lock_sha256[:12]}, here is {here.lock_sha256[:12]}")
    if then.python != here.python:
        found.append(f"it was trained with Python {then.python}, this is {here.python}")
    return tuple(found)


def replay(
    reference: ModelRef,
    *,
    store: VersionedStore,
    evaluation: "Evaluation | None",
    feature_set: FeatureSpec,
    partitions: Partitions,
    threshold: float | None,
    local: Path,
    threads: int,
    environment: Environment = "present",
    say: Callable[[str], None] = lambda _: None,
) -> Replay:
    """Rebuild features and model of a reference and compare them with what was recorded.

    Raw rows are taken from the dataset store by content; features, model and metrics are computed anew by the code
    of the recorded commit (a Git work tree in a temporary folder). Nothing is written to store, MLflow or ledger.
    ``evaluation`` is what was measured when the model was made, ``None`` where it never was; ``feature_set``,
    its dataset's ``partitions`` and ``threshold`` are those declared now, for where the commit or the evaluation has
    none. Environments that are installed stay below ``local``.
    ``say`` is given each warning when it is known, before what it is about. Raises PlatformError where the commit is
    not there, its code fails or its environment cannot be installed, NotFound or Corrupt where data is gone.
    """
    started = time.monotonic()
    then = reference.provenance
    here = current()
    said: list[str] = []

    def note(text: str) -> None:
        said.append(text)
        say(text)

    for warning in warnings(reference, here):
        note(warning)
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = Path(name)
        with checked_out(then.code_commit, folder / "code", f"replay of {reference.model}", _WAY_OUT) as code:
            spec = _declared(code, "FeatureSet", FeatureSpec, reference.split.dataset)
            if spec is None:
                spec = feature_set
                note(
                    f"commit {then.code_commit[:12]} declares no {reference.split.dataset} in a defs.yaml; the present "
                    "declaration is used"
                )
            python = Path(sys.executable)
            if environment == "recorded":
                try:
                    python = environments.recorded(then, here, code, local / "environments", note)
                except PlatformError as error:
                    raise PlatformError(f"replay of {reference.model}: {error}") from error
            elif then.lock_sha256 == here.lock_sha256 and (other := environments.installed_otherwise()):
                note(environments.otherwise(other))
            dataset = _declared(code, "Dataset", DatasetSpec, spec.dataset)
            partitions = dataset.partitions if dataset else partitions
            refreshed = partitions if spec.refresh == "partition" and not partitions.hourly else None
            request = {
                "function": spec.function,
                "history_lag": spec.history_lag,
                "refreshed": refreshed and refreshed.model_dump(mode="json"),
                "hourly": partitions.hourly,
                "dataset": spec.dataset,
                "raw": _raw(store, reference, folder / "raw"),
                "train": [entry.model_dump() for entry in reference.split.train],
                "holdout": [entry.model_dump() for entry in reference.split.holdout],
                "features": list(reference.features),
                "target": reference.target,
                "task": reference.task,
                "classes": list(reference.classes),
                "parameters": reference.parameters,
                "trainer": reference.trainer,
                "threads": threads,
                "threshold": evaluation.threshold if evaluation else threshold,
            }
            result = _run(request, python, code, folder, f"{reference.model} on commit {then.code_commit[:12]}")
    entries = (*reference.split.train, *reference.split.holdout)
    recorded = evaluation.metrics if evaluation else {}
    return Replay(
        model=reference.model,
        code_commit=then.code_commit,
        environment=result["environment"],
        warnings=tuple(said),
        features={entry.partition: (entry.sha256, result["features"][entry.partition]) for entry in entries},
        recorded=reference.file_hash,
        rebuilt=result["sha256"],
        metrics={
            metric: (recorded.get(metric), result["metrics"].get(metric))
            for metric in (recorded.keys() | result["metrics"].keys() if evaluation else ())
        },
        seconds=time.monotonic() - started,
    )


def _raw(store: VersionedStore, reference: ModelRef, folder: Path) -> dict[str, dict[str, str]]:
    """Copies of every raw batch that the manifest names, verified."""
    folder.mkdir()
    places: dict[str, dict[str, str]] = {}
    for entry in (*reference.split.train, *reference.split.holdout):
        for name, sha256 in entry.inputs.items():
            if name in places:
                continue
            dataset, _, partition = name.partition("/")
            commit = store.resolve(batch_tag(dataset, partition, sha256))
            target = folder / f"{len(places)}.parquet"
            shutil.copyfile(store.local_path(commit, batch_path(dataset, partition)), target)
            places[name] = {"path": str(target), "sha256": sha256}
    return places


def _declared(code: Path, name: str, kind: type[T], key: str) -> T | None:
    """The dataset or feature set of a key as the commit declares it; ``name``: that of its component."""
    import yaml
    from pydantic import ValidationError

    for file in sorted(code.rglob("defs.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if not isinstance(document, dict) or not str(document.get("type")).endswith(f".{name}"):
                continue
            try:
                spec = kind.model_validate(document.get("attributes"))
            except ValidationError:
                # Another declaration of that commit in a form of its own time; the one wanted is looked for on.
                continue
            if key == (spec.key if isinstance(spec, FeatureSpec) else spec.name):
                return spec
    return None


def _run(request: dict[str, Any], python: Path, code: Path, folder: Path, what: str) -> dict[str, Any]:
    """Run the worker on the checked-out code, with environment variables of its own."""
    (folder / "request.json").write_text(json.dumps(request))
    environment = variables(code, folder / "local")
    worker = Path(__file__).with_name("worker.py")
    # -P: beside the worker lie modules of this code, not of the commit's.
    command = [str(python), "-P", str(worker), str(folder / "request.json"), str(folder / "result.json")]
    try:
        done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise PlatformError(f"replay of {what}: not done after {TIMEOUT / 3600:.0f} hours") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"
        raise PlatformError(f"replay of {what}: its code failed ({reason[:300]})")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    used = Path(result["code"]).resolve()
    if (code / "ml_platform").is_dir() and not used.is_relative_to(code.resolve()):
        raise PlatformError(f"replay of {what}: {used} was run, not the code of the commit; check PYTHONPATH")
    return result
