"""``ml-platform validate``: every mistake in the declarations, one line each, without loading Dagster's graph."""

from collections.abc import Iterator

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.mistakes import problems
from ml_platform.declarations.reading import Reading, read_declarations
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.project import Project, current_project


def validate_project() -> int:
    """Print every mistake; 0 where there is none, else 1."""
    mistakes, accepted = find_mistakes(current_project())
    for mistake in mistakes:
        print(mistake)
    if not mistakes:
        print(f"{len(accepted)} declarations and {sum(len(spec.gates) for spec in accepted)} gates are in order")
    return 1 if mistakes else 0


def find_mistakes(project: Project) -> tuple[list[str], list[Declaration]]:
    """One line for each mistake, and the declarations that stand."""
    reading = read_declarations(project)
    mistakes = list(reading.mistakes)
    documents = {id(spec): document for spec, document in reading.declared}
    accepted: list[Declaration] = []
    for spec, document in reading.declared:
        clash = next((other for other in accepted if _clash(other, spec)), None)
        if clash is None:
            accepted.append(spec)
            continue
        first = documents[id(clash)].file
        mistakes.append(document.mistake(("attributes", "name"), f"{_clash(clash, spec)}; the first is in {first}"))
    for spec, key, reason in problems(Catalogue.of(accepted)):
        if not any(f"there is no {name!r}" in reason for name in reading.broken):
            path = tuple(int(part) if part.isdigit() else part for part in key.split("."))
            mistakes.append(documents[id(spec)].mistake(("attributes", *path), reason))
    mistakes += _platform_mistakes(project, reading)
    return mistakes, accepted


def _clash(left: Declaration, right: Declaration) -> str:
    """Why two declarations cannot stand side by side; empty where they can."""
    try:
        Catalogue.of([left, right])
    except DeclarationError as error:
        return str(error).removeprefix("name: ")
    return ""


def _platform_mistakes(project: Project, reading: Reading) -> Iterator[str]:
    for document in reading.platforms[1:]:
        first = reading.platforms[0].file
        yield document.mistake(("type",), f"a second ml_platform.Platform; the project has one in {first}")
    if not reading.platforms and (reading.declared or reading.broken):
        folder = project.defs_folder.relative_to(project.root)
        yield (
            f"{folder}: type: no defs.yaml declares ml_platform.Platform, which gives the assets their resources; "
            "run dg scaffold defs ml_platform.Platform platform"
        )
