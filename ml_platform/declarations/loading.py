"""The declarations of a project, read and checked in one place: for ``validate``, for every command, for Dagster.

``validate`` shows every mistake; the others get the catalogue, or the first mistake in the same words.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.mistakes import problems
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.reading import Document, Reading, placed, read_declarations
from ml_platform.declarations.rows import unlike
from ml_platform.declarations.weak import untouched_texts, weak_gates
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.project import Project, current_project
from ml_platform.gates.gate import Gate


def find_mistakes(project: Project, *, deep: bool = True) -> tuple[list[str], list[Declaration]]:
    """One line for each mistake (file, line, key, reason), and the declarations that are well-formed.

    ``deep`` imports the schemas too, which takes a second; without, their columns are read from the source.
    """
    reading = read_declarations(project)
    mistakes, accepted, documents = _well_formed(reading)
    for spec, key, reason in problems(Catalogue.of(accepted), deep=deep):
        if not any(f"there is no {name!r}" in reason for name in reading.broken):
            mistakes.append(placed(project, reason) or documents[id(spec)].mistake(_path(key), reason))
    mistakes += _platform_mistakes(project, reading)
    return mistakes, accepted


def find_weak(project: Project) -> list[str]:
    """One line for each gate that can hardly fail, each text of a scaffold, each source that is not as declared:
    warnings, no mistakes.

    See :mod:`ml_platform.declarations.weak`.
    """
    _, accepted, documents = _well_formed(read_declarations(project))
    catalogue = Catalogue.of(accepted)
    return [
        placed(project, reason) or documents[id(spec)].mistake(_path(key), reason)
        for spec in accepted
        for key, reason in (
            *weak_gates(spec),
            *untouched_texts(spec),
            *_unlike(spec),
            *_unseen_outcomes(spec, catalogue),
        )
    ]


def _unlike(spec: Declaration) -> Iterator[tuple[str, str]]:
    if isinstance(spec, DatasetSpec):
        # What cannot be loaded is a mistake, and told as one.
        with suppress(DeclarationError):
            yield from ((one.key, one.placed(spec)) for one in unlike(spec) if not one.certain)


def _unseen_outcomes(spec: Declaration, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Outcomes of a model that may be missing and that no gate on batches looks at: without any a batch would pass."""
    # Those that come late are not there when a batch arrives, and no gate can ask for them.
    if not isinstance(spec, ModelSpec) or spec.split.label_delay:
        return
    with suppress(PlatformError):
        name = spec.labels or catalogue.feature_set(spec.features).dataset
        dataset = catalogue.dataset(name)
        from ml_platform.validation.schema import columns

        outcomes = [one for one in columns(dataset.load_schema()) if one.outcome and one.nullable]
        looked = {name for gate in dataset.gates_of("batch") for name in _columns_of(gate)}
        # A kind of one's own may look at anything.
        own = any(":" in gate.gate for gate in dataset.gates_of("batch"))
        if outcomes and not own and not looked & {one.name for one in outcomes}:
            named = ", ".join(one.name for one in outcomes)
            yield (
                "target",
                f"no gate looks at the outcomes of {name} ({named}), so that a batch without any passes; give it one, "
                f"such as {{gate: missing, name: outcomes, columns: [{outcomes[0].name}], max: 0.5}}",
            )


def _columns_of(gate: Gate) -> Iterator[str]:
    yield from gate.columns or ()
    if isinstance(gate.against, str):
        yield gate.against


def load_catalogue(project: Project, *, working: bool) -> Catalogue:
    """The declarations of a project. Raises DeclarationError with the first mistake, as :func:`find_mistakes` says it.

    ``working``: what they name has to be there too (sources, feature functions, columns); imports the user's code.
    """
    if working:
        mistakes, accepted = find_mistakes(project, deep=False)
    else:
        mistakes, accepted, _ = _well_formed(read_declarations(project))
    if mistakes:
        more = f" ({len(mistakes) - 1} more: ml-platform validate shows each)" if len(mistakes) > 1 else ""
        raise DeclarationError(mistakes[0] + more)
    return Catalogue.of(accepted)


@lru_cache(maxsize=1)
def project_catalogue() -> Catalogue:
    """The declarations of this process's project, well-formed. Raises NoProject or DeclarationError."""
    return load_catalogue(current_project(), working=False)


def _path(key: str) -> tuple[int | str, ...]:
    """Where a key with dots is in a document."""
    return ("attributes", *(int(part) if part.isdigit() else part for part in key.split(".")))


def _well_formed(reading: Reading) -> tuple[list[str], list[Declaration], dict[int, Document]]:
    """Mistakes in single declarations and in their names, the others, and where each (by ``id``) is declared."""
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
    return mistakes, accepted, documents


def _clash(left: Declaration, right: Declaration) -> str:
    """Why two declarations cannot exist side by side; empty where they can."""
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
