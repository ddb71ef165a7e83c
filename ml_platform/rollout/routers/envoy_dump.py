"""What Envoy says that it carries out, beside what was written for it: files can be exchanged while it reads them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Where a dump has resources: under which name, and what of each is in force or about to be.
_CLUSTERS = ("dynamic_active_clusters", "dynamic_warming_clusters", "static_clusters")
_LISTENERS = ("dynamic_listeners", "static_listeners")
_STATES = ("active_state", "warming_state")
_DURATION = re.compile(r"\d+(\.\d+)?s")


def plain(value: Any) -> Any:
    """A value as it is the same in what is written and in what Envoy shows: without defaults, all scalars as text."""
    if isinstance(value, Mapping):
        items = ((name, plain(item)) for name, item in value.items() if item not in (0, "", None) and item != [])
        return dict(items)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return f"{float(value[:-1]):g}s"
    return str(value)


def foreign(dump: Any, taken: Mapping[str, Mapping[str, Any]]) -> str:
    """What Envoy has that was not written for it; else empty.

    ``dump``: answer of ``/config_dump``. ``taken``: the files whose present version Envoy says it has, with their
    resources by name, each :func:`plain`.
    """
    for file, name, resource in _carried_out(dump):
        if file in taken and taken[file].get(name) != plain(resource):
            return f"it carries out another {file.partition('.')[0].rstrip('s')} of {name} than was written"
    return ""


def _carried_out(dump: Any) -> Iterator[tuple[str, str, Any]]:
    """File, name and content of each resource."""
    for part in dump["configs"]:
        for item in (item for key in _CLUSTERS for item in part.get(key, ())):
            yield "clusters.json", item["cluster"]["name"], item["cluster"]
        for item in (item for key in _LISTENERS for item in part.get(key, ())):
            for state in (item, *(item[state] for state in _STATES if state in item)):
                if "listener" in state:
                    yield "listeners.json", state["listener"]["name"], state["listener"]
        for item in part.get("dynamic_route_configs", ()):
            name = item["route_config"]["name"]
            yield f"routes.{name}.json", name, item["route_config"]
