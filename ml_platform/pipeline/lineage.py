"""From data forwards: which registered models and running services depend on a dataset commit or content."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from ml_platform.datasets.store import NotFound, VersionedStore
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.parts import Parts
from ml_platform.pipeline import champions
from ml_platform.pipeline.approval import standing
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import ManifestEntry, VersionRef

#: Shortest beginning of a hash that is looked for.
SHORTEST = 7


class Use(NamedTuple):
    """A registered version that was made from some content."""

    model: str
    version: int
    approval: str
    aliases: tuple[str, ...]
    #: How (``train``, ``holdout``: its rows; ``judged``: those of the model that was judged for it alone; ``history``:
    #: only past outcomes in the features of later rows), with the partitions of the manifest.
    parts: dict[str, tuple[str, ...]]
    #: Services of the version that the supervisor keeps: address and phase.
    services: tuple[tuple[str, str], ...]


def contents(store: VersionedStore, target: str) -> dict[str, str]:
    """Content hashes that a commit brought (sha256 to path), or the one hash (or its beginning) that was given.

    A commit brought what differs from its first parent; a merge, what it published.
    """
    try:
        commit = next(iter(store.log(store.resolve(target), limit=1)))
    except NotFound:
        if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", target):
            raise PlatformError(
                f"{target!r} is neither a commit or tag of {store.repository} nor the (first {SHORTEST} or more) "
                "digits of a content's sha256; see ml-platform data log DATASET"
            ) from None
        return {target: ""}
    before = {info.path: info.sha256 for info in store.list(commit.parents[0])} if commit.parents else {}
    return {info.sha256: info.path for info in store.list(commit.id) if before.get(info.path) != info.sha256}


def known(workspace: Workspace, wanted: Mapping[str, str]) -> bool:
    """Whether one of :func:`contents` is in a commit (it has a path) or is the beginning of what was ever judged."""
    starts = tuple(wanted)
    return any(wanted.values()) or any(entry.subject.startswith(starts) for entry in workspace.ledger.log())


def uses(workspace: Workspace, models: Iterable[str], wanted: Iterable[str], parts: Parts) -> list[Use]:
    """Registered versions whose manifests name one of the contents (whole hashes or beginnings).

    What cannot be read is told to ``parts``: another model or version is found all the same.
    """
    starts = tuple(wanted)
    found = []
    for model in models:
        versions = parts.read(f"versions of {model}", partial(workspace.registry.versions, model, parts), [])
        aliases = (
            parts.read(f"aliases of {model}", partial(champions.aliases, workspace, model), {}) if versions else {}
        )
        for version in versions:
            if roles := _parts(version, starts):
                about = f"{model} version {version.version}"
                status = parts.read(f"decisions on {about}", partial(_status, workspace, version), "unknown")
                own = tuple(sorted(alias for alias, number in aliases.items() if number == version.version))
                services = parts.read(f"services of {about}", partial(_services, workspace, version), ())
                found.append(Use(model, version.version, status, own, roles, services))
    return found


def _status(workspace: Workspace, version: VersionRef) -> str:
    return standing(workspace, version).status


def _parts(version: VersionRef, starts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    split, judged = version.model_ref.split, version.model_ref.judged
    found: dict[str, list[str]] = {}
    # What the judged model learned from and its refit did not, in a window that moved on.
    known = {entry.sha256 for entry in split.learned}
    before = [entry for entry in judged.split.learned if entry.sha256 not in known] if judged else []
    for part, entries in (("train", split.train), ("holdout", split.holdout), ("judged", before)):
        for entry in entries:
            if role := _role(entry, starts):
                found.setdefault(part if role == "rows" else role, []).append(entry.partition)
    return {part: tuple(partitions) for part, partitions in found.items()}


def _role(entry: ManifestEntry, starts: tuple[str, ...]) -> str:
    """``rows`` where the entry's own rows are of that content, ``history`` where only earlier ones are."""
    own = [entry.sha256, *(sha for name, sha in entry.inputs.items() if name.endswith(f"/{entry.partition}"))]
    if any(sha256.startswith(starts) for sha256 in own):
        return "rows"
    return "history" if any(sha256.startswith(starts) for sha256 in entry.inputs.values()) else ""


def _services(workspace: Workspace, version: VersionRef) -> tuple[tuple[str, str], ...]:
    from ml_platform.rollout.processes import read_state

    state = read_state(workspace.settings)
    route = state.routes.get(version.model)
    return tuple(
        (route.url if route and route.sha256 == service.sha256 else service.url, service.phase)
        for service in state.services
        if (service.model, service.version) == (version.model, version.version)
    )
