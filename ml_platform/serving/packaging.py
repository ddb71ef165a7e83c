"""One Bento per registered version: the model file, its history and just the code that serving needs."""

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from ml_platform.features.contract import Stale, feature_names, load_function
from ml_platform.foundation.earlier import FIRST_FORMAT
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, made, sha256_file, sync_folder
from ml_platform.foundation.inherited import inherited
from ml_platform.foundation.locks import locked
from ml_platform.foundation.provenance import Provenance
from ml_platform.models.predictor import file_name, predictor_path, predictor_type
from ml_platform.models.task import task_path
from ml_platform.serving import bundle
from ml_platform.serving.code import stage_code
from ml_platform.serving.schema import RequestSchema, example_row, rows_model

logger = logging.getLogger(__name__)

#: Installed packages that a service needs beside those of its predictor; the first found of each group is pinned.
REQUIREMENTS = (
    ("polars",),
    ("pyarrow",),
    ("numpy",),
    ("pydantic",),
    ("prometheus-client",),
    ("uvloop",),
    ("httptools",),
)
#: Libraries of training and orchestration, which a service must run without.
BANNED = ("dagster", "mlflow", "pandera", "evidently", "shap")

#: Runs in a fresh interpreter inside the staged folder, so that what it imports is what was packaged. Making an
#: instance loads the feature code and predicts for the example row.
BUILD = """
import importlib, json, sys
import bentoml
entry, name, version, labels, description = json.loads(sys.argv[1])
bento = bentoml.build(
    f"{entry}:Service", name=name, version=version, labels=labels, build_ctx=".",
    description=description or f"{name} {version}", include=["**"],
)
importlib.import_module(entry).Service.inner()
modules = sorted({module.partition(".")[0] for module in sys.modules})
print(json.dumps({"tag": str(bento.tag), "path": str(bento.path), "modules": modules}))
"""


@dataclass(frozen=True)
class Packaged:
    """A packaged service."""

    #: ``name:version`` of the Bento.
    tag: str
    #: Identity of its content (:func:`ml_platform.serving.bundle.content_sha256`).
    sha256: str
    path: Path
    #: Whether an earlier package with the same content was taken over.
    adopted: bool
    seconds: float


def package(
    model: str,
    version: int,
    model_file: Path,
    model_sha256: str,
    history_file: Path,
    function_path: str,
    request: RequestSchema,
    *,
    task: str,
    provenance: Provenance,
    destination: Path,
    decision_threshold: float | None = None,
    classes: tuple[str, ...] = (),
    format: str = FIRST_FORMAT,
    types: tuple[str, ...] = (),
    example: Mapping[str, Any] | None = None,
    entry: str = bundle.ENTRY,
    options: Mapping[str, Any] | None = None,
    feature_code: str = "",
    stale: Stale = "mark",
    known: Mapping[str, tuple[str, ...]] | None = None,
    description: str = "",
) -> Packaged:
    """Build the Bento of a registered version and put it at ``destination/<model>-<version>-<sha256>``.

    ``example`` is a valid row for the warm-up prediction; without it one is made from the schema. ``entry`` is
    the module whose ``Service`` answers, ``options`` are what it finds in its configuration. ``feature_code`` is the
    version of the feature code, ``stale`` what is done with a row whose history is older than declared, ``known`` the
    texts that training has seen (:mod:`ml_platform.serving.known`); ``description``, Markdown, is what the service's
    documentation says first, and no part of the content. The same
    inputs give the same sha256, and a package that is there already is taken over. Raises
    :class:`PlatformError` when the model file is not the registered one, or when the feature code or the entry
    module cannot be imported or needs a library of training.
    """
    started = time.monotonic()
    if sha256_file(model_file) != model_sha256:
        raise PlatformError(f"{model_file} is not version {version} of {model}: sha256 differs; download it again")
    made(destination)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=destination) as temporary:
        stage = Path(temporary) / "stage"
        named = [task_path(task), predictor_path(format), *_types_of(types)]
        libraries = stage_code(stage, entry, function_path, named)
        files = stage / bundle.FOLDER
        files.mkdir()
        shutil.copyfile(model_file, files / file_name(format))
        shutil.copyfile(history_file, files / bundle.HISTORY)
        config = _config(
            model, version, model_sha256, history_file, function_path, request, task, provenance,
            decision_threshold, classes, format, types, example, entry, options or {}, libraries,
        ).model_copy(update={"feature_code": feature_code, "stale": stale, "known": dict(known or {})})  # fmt: skip
        (files / bundle.SERVICE).write_text(canonical_json(config.model_dump(mode="json")))
        (files / bundle.REQUEST).write_text(canonical_json(request.model_dump(mode="json")))
        sha256 = bundle.content_sha256(stage)
        folder = destination / f"{model}-{version}-{sha256[:12]}"
        with locked(destination / ".lock"):
            found = _adopt(folder, sha256)
            if found is None:
                name = f"v{version}-{sha256[:12]}"
                found = _build(stage, Path(temporary), folder, entry, model, name, sha256, description)
                adopted = False
            else:
                adopted = True
    return Packaged(found, sha256, folder, adopted, time.monotonic() - started)


def kept(destination: Path, model: str, version: int, sha256: str) -> tuple[str, Path] | None:
    """Tag and folder of a package that was made before, with exactly this content; None where it is not there."""
    folder = destination / f"{model}-{version}-{sha256[:12]}"
    tag = _tag(folder, sha256) if folder.is_dir() else None
    return None if tag is None else (tag, folder)


def _config(
    model: str,
    version: int,
    model_sha256: str,
    history_file: Path,
    function_path: str,
    request: RequestSchema,
    task: str,
    provenance: Provenance,
    decision_threshold: float | None,
    classes: tuple[str, ...],
    format: str,
    types: tuple[str, ...],
    example: Mapping[str, Any] | None,
    entry: str,
    options: Mapping[str, Any],
    libraries: Collection[str],
) -> bundle.ServiceConfig:
    from ml_platform.features.history import History

    function = load_function(function_path)
    if tuple(function.inputs) != request.names:
        raise PlatformError(f"{function_path} has inputs {list(function.inputs)}, the request {list(request.names)}")
    history = History.load(function, history_file)
    day = history.until + timedelta(days=history.lag_days) if history.until else date(2000, 1, 1)
    row = dict(example) if example is not None else example_row(request, day)
    try:
        rows_model(request).model_validate_json(json.dumps({"rows": [row]}, default=str))
    except ValueError as error:
        raise PlatformError(f"{model}: the example row does not fit the request schema: {error}") from error
    return bundle.ServiceConfig(
        model=model,
        version=version,
        task=task,
        format=format,
        file=file_name(format),
        types=types,
        model_sha256=model_sha256,
        history_sha256=sha256_file(history_file),
        history_until=history.until,
        function=function_path,
        features=feature_names(function),
        decision_threshold=decision_threshold,
        classes=classes,
        example=json.loads(json.dumps(row, default=str)),
        requirements=tuple(_pins(_groups(predictor_type(format).packages, libraries))),
        python=".".join(platform.python_version_tuple()[:2]),
        provenance=provenance.model_dump(mode="json"),
        entry=entry,
        options=dict(options),
    )


def _types_of(types: Iterable[str]) -> Iterator[str]:
    """The modules of types that a model holds, as ``module:Type``."""
    for name in types:
        module, _, kind = name.rpartition(".")
        yield f"{module}:{kind}"


def _groups(packages: Iterable[tuple[str, ...]], libraries: Collection[str]) -> Iterator[tuple[str, ...]]:
    """What a service needs: the packages of its predictor, its own, and those of what the user's code imports.

    Raises PlatformError for a library that no package brought.
    """
    groups = [*packages, *REQUIREMENTS]
    yield from groups
    named = {name.lower().replace("-", "_") for group in groups for name in group}
    # Read only where it is asked for: that takes a while.
    left = sorted(name for name in libraries if name.lower() not in named)
    brought_by = packages_distributions() if left else {}
    known = {name for group in groups for name in group}
    for library in left:
        distributions = sorted(set(brought_by.get(library, ())))
        if not distributions:
            raise PlatformError(
                f"a service would import {library}, which is neither part of the project nor an installed package; "
                "install it, or move it into the project"
            )
        yield from ((one,) for one in distributions if one not in known)
        known.update(distributions)


def _pins(groups: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for group in groups:
        for name in group:
            try:
                yield f"{name}=={installed(name)}"
                break
            except PackageNotFoundError:
                continue
        else:
            raise PlatformError(f"a service needs {' or '.join(group)}, which is not installed; install it")


def _adopt(folder: Path, sha256: str) -> str | None:
    """Tag of the finished package at ``folder``; one whose content differs is moved out of the way."""
    if not folder.exists():
        return None
    if (tag := _tag(folder, sha256)) is not None:
        return tag
    aside = folder.with_name(f".damaged-{folder.name}-{time.time_ns()}")
    logger.warning("package %s does not have the content of its name; moved to %s", folder, aside)
    os.rename(folder, aside)
    return None


def _tag(folder: Path, sha256: str) -> str | None:
    """Tag of the package at ``folder``; None where it is damaged or has another content."""
    try:
        return bundle.tag_of(folder, sha256)
    except PlatformError as error:
        logger.warning("%s", error)
    return None


def _build(
    stage: Path, temporary: Path, folder: Path, entry: str, name: str, version: str, sha256: str, description: str
) -> str:
    home = temporary / "home"
    metrics = temporary / "metrics"
    home.mkdir()
    metrics.mkdir()
    # BentoML looks for uv, and would install it, also where nothing is locked and so nothing is asked of it.
    uv = temporary / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\necho 'ml-platform: nothing is locked with uv' >&2\nexit 1\n")
    uv.chmod(0o755)
    environment = inherited() | {
        "BENTOML_HOME": str(home),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "BENTOML_DO_NOT_TRACK": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        "PATH": os.pathsep.join([str(uv.parent), *filter(None, [os.environ.get("PATH")])]),
    }
    arguments = json.dumps([entry, name, version, {"sha256": sha256}, description])
    done = subprocess.run(
        [sys.executable, "-c", BUILD, arguments], cwd=stage, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        logger.error("building the Bento of %s failed:\n%s", name, done.stderr)
        raise PlatformError(f"service of {name} cannot be built: {reason}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    loaded = sorted(set(BANNED) & set(result["modules"]))
    if loaded:
        raise PlatformError(
            f"service of {name} would import {', '.join(loaded)}: keep feature code free of them (schemas elsewhere)"
        )
    built = Path(result["path"])
    if bundle.content_sha256(built / bundle.SOURCE) != sha256:
        raise PlatformError(f"service of {name}: BentoML left files out of the package; is a .bentoignore in the way?")
    for path in built.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    os.rename(built, folder)
    sync_folder(folder.parent)
    return result["tag"]
