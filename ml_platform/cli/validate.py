"""``ml-platform validate``: every mistake in the declarations, one line each, without loading Dagster's graph."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml_platform.declarations import Catalogue, DatasetSpec, Declaration, DeclarationError, FeatureSpec, ModelSpec
from ml_platform.settings import default_home

TYPES: dict[str, type[Declaration]] = {"Dataset": DatasetSpec, "FeatureSet": FeatureSpec, "Model": ModelSpec}


def validate_project(root: Path | None = None) -> int:
    """Print every mistake; 0 where there is none, else 1."""
    home = root or default_home()
    mistakes, specs, places = [], [], {}
    for file in sorted(defs_folder(home).rglob("defs.yaml")):
        shown = file.relative_to(home) if file.is_relative_to(home) else file
        for spec, problem in _read(file):
            if problem is not None:
                mistakes.append(f"{shown}: {problem}")
            elif spec is not None:
                specs.append(spec)
                places[id(spec)] = shown
    accepted: list[Declaration] = []
    for spec in specs:
        try:
            Catalogue.of([*accepted, spec])
            accepted.append(spec)
        except DeclarationError as error:
            mistakes.append(f"{places[id(spec)]}: {error}")
    for spec, key, reason in Catalogue.of(accepted).problems():
        mistakes.append(f"{places[id(spec)]}: {key}: {reason}")
    for mistake in mistakes:
        print(mistake)
    if not mistakes:
        gates = sum(len(spec.gates) for spec in accepted)
        print(f"{len(accepted)} declarations and {gates} gates are in order")
    return 1 if mistakes else 0


def defs_folder(home: Path) -> Path:
    """The folder of declarations that ``[tool.dg.project]`` names. Raises PlatformError where there is none."""
    import tomllib

    file = home / "pyproject.toml"
    if not file.exists():
        raise DeclarationError(
            f"{home}: there is no pyproject.toml; run this in the project's root or set DAGSTER_HOME"
        )
    project = tomllib.loads(file.read_text()).get("tool", {}).get("dg", {}).get("project")
    if project is None:
        raise DeclarationError(f"{file}: there is no [tool.dg.project]; it names the root module")
    module = project.get("defs_module", f"{project.get('root_module')}.defs")
    parts = Path(*module.split("."))
    folder = next((base / parts for base in (home, home / "src") if (base / parts).is_dir()), None)
    if folder is None:
        raise DeclarationError(f"{file}: defs_module {module!r} is no folder of this project")
    return folder


def _read(file: Path) -> Iterator[tuple[Declaration | None, str | None]]:
    import yaml

    try:
        documents = list(yaml.safe_load_all(file.read_text()))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f"line {place.line + 1}: " if place else ""
        yield None, f"{line}not YAML: {getattr(error, 'problem', error)}"
        return
    for document in documents:
        if not isinstance(document, dict) or "type" not in document:
            yield None, "type: a document needs a type, e.g. ml_platform.Model"
            continue
        kind = TYPES.get(str(document["type"]).rpartition(".")[2])
        if kind is None or not str(document["type"]).startswith("ml_platform."):
            continue
        try:
            yield kind.model_validate(document.get("attributes") or {}), None
        except ValidationError as error:
            for mistake in error.errors():
                yield None, f"{_key(mistake)}: {_reason(mistake)}"


def _key(mistake: Any) -> str:
    key = ".".join(str(part) for part in mistake["loc"])
    return f"attributes.{key}" if key else "attributes"


def _reason(mistake: Any) -> str:
    kind, value = mistake["type"], mistake.get("input")
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    text = str(mistake["msg"]).removeprefix("Value error, ")
    return text if kind == "value_error" else f"{text} (found {str(value)[:60]!r})"
