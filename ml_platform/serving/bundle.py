"""What lies in the ``model`` folder of a packaged service, and the identity of a package."""

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ml_platform.features.contract import Stale
from ml_platform.foundation.earlier import FIRST_FORMAT
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes, sha256_file
from ml_platform.serving.schema import RequestSchema

#: Folder beside the code, and the files in it.
FOLDER = "model"
HISTORY = "history.parquet"
SERVICE = "service.json"
REQUEST = "request.json"
#: Folder of a Bento that holds code and model files.
SOURCE = "src"
#: Entry module of a sound package, and that of packages made before it was named in them.
ENTRY, FIRST_ENTRY = "ml_platform.serving.entry", "ml_platform.serving.service"


class ServiceConfig(BaseModel):
    """``service.json``: everything the service needs beside the files."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    version: int
    task: str
    #: Names of the classes of a multiclass model, in the order of its probabilities.
    classes: tuple[str, ...] = ()
    #: Format of the model file, its name, and the types that it may hold beyond those of the format.
    format: str = FIRST_FORMAT
    file: str = f"{FOLDER}.{FIRST_FORMAT}"
    types: tuple[str, ...] = ()
    #: sha256 of the model file and of the history, checked when the service starts.
    model_sha256: str
    history_sha256: str
    #: Last day whose outcomes the history holds; None when it holds none. A process may read a newer history.
    history_until: date | None
    #: Version of the feature code: histories that another one made are not read. Empty: not noted.
    feature_code: str = ""
    #: What is done with a row whose history is older than declared.
    stale: Stale = "mark"
    #: Import path of the feature function, ``module:object``.
    function: str
    features: tuple[str, ...]
    #: Texts of each column that is no name of single rows, as training has seen them; any other one is told.
    known: dict[str, tuple[str, ...]] = {}
    #: Score from which a binary model decides for the positive class; None: scores only.
    decision_threshold: float | None = None
    #: A valid row for the warm-up prediction.
    example: dict[str, Any]
    #: Pinned packages of the container image.
    requirements: tuple[str, ...]
    python: str
    provenance: dict[str, Any]
    #: Module whose ``Service`` answers, and what it is told.
    entry: str = FIRST_ENTRY
    options: dict[str, Any] = {}


def read(folder: Path) -> tuple[ServiceConfig, RequestSchema]:
    """Service configuration and request schema from a ``model`` folder.

    Raises :class:`PlatformError` when the folder is not part of a packaged service.
    """
    if not (folder / SERVICE).is_file():
        raise PlatformError(
            f"no {SERVICE} in {folder}: the service runs from a packaged folder; package a version first"
        )
    return (
        ServiceConfig.model_validate_json((folder / SERVICE).read_bytes()),
        RequestSchema.model_validate_json((folder / REQUEST).read_bytes()),
    )


def read_of(package: Path, sha256: str) -> tuple[ServiceConfig, RequestSchema]:
    """:func:`read` of a package that holds this content: folders can be edited. Raises as :func:`tag_of`."""
    tag_of(package, sha256)
    return read(package / SOURCE / FOLDER)


def tag_of(package: Path, sha256: str) -> str:
    """``name:version`` of a package that holds this content, and starts the service that is in it.

    What BentoML reads beside the content, its description, is no part of the hash: it may name the entry module that
    the content does and nothing else. Raises PlatformError where the package is not there, is damaged or another one.
    """
    import yaml

    source = package / SOURCE
    try:
        if not source.is_dir() or content_sha256(source) != sha256:
            raise PlatformError(f"{package} does not hold the package {sha256[:12]}; package the version again")
        described = yaml.safe_load((package / "bento.yaml").read_text())
        entry = json.loads((source / FOLDER / SERVICE).read_bytes()).get("entry", FIRST_ENTRY)
        if described["service"] != f"{entry}:Service" or described.get("envs"):
            raise PlatformError(f"{package}/bento.yaml starts another service than {entry}; package the version again")
        return f"{described['name']}:{described['version']}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise PlatformError(f"package {package} is damaged ({error}); package the version again") from error


def private_copy(package: Path, place: Path, sha256: str) -> Path:
    """A copy of a package that only this user can write to, at ``place``, in place of what is there; returns ``place``.

    What is run is what was hashed: whoever may write into the package can exchange a module between its hash and its
    import, or put compiled code beside it, which is in no hash and which Python would run instead. It is not copied.
    Raises PlatformError where the copy does not hold the content ``sha256``; empty: that of the package now.
    """
    if place.is_symlink() or place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700)
    shutil.copytree(package, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    place.chmod(0o700)
    if sha256:
        tag_of(place, sha256)
    elif content_sha256(place / SOURCE) != content_sha256(package / SOURCE):
        raise PlatformError(f"{package} changed while it was copied; start it again")
    return place


def content_sha256(source: Path) -> str:
    """Identity of a package: names and contents of code, model, history, service and request.

    ``source`` is the Bento's ``src`` folder. What differs between two builds of the same inputs is left
    out: bytecode, and the build description that BentoML writes (with the time of creation). A link counts by where it
    leads: a package has none, and what lies behind one could change.
    """
    entries: dict[str, str] = {}
    for path in sorted(source.rglob("*")):
        if path.is_symlink():
            entries[path.relative_to(source).as_posix()] = f"-> {os.readlink(path)}"
        elif path.is_file() and "__pycache__" not in path.parts and path != source / "bentofile.yaml":
            entries[path.relative_to(source).as_posix()] = sha256_file(path)
    return sha256_bytes(canonical_json(entries))
