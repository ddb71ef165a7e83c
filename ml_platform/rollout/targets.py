"""Where a collector finds the metrics of every service that answers: a file in Prometheus' format of file discovery."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.settings import Settings
from ml_platform.serving.process import LOOPBACK


class Target(NamedTuple):
    """A process that answers on this machine, at a port of its own."""

    port: int
    model: str
    version: int
    #: Number among the processes of one version.
    replica: int


def targets_path(settings: Settings) -> Path:
    """The file, beside the series of live performance."""
    return settings.local / "metrics" / "services.json"


def write_targets(settings: Settings, targets: Iterable[Target]) -> None:
    """Name the processes; where nothing differs, nothing is written.

    Their ports change with each process, so no configuration of a collector can name them.
    """
    found = [
        {
            "targets": [f"{LOOPBACK}:{one.port}"],
            "labels": {"model": one.model, "version": str(one.version), "replica": str(one.replica)},
        }
        for one in sorted(targets)
    ]
    content, path = (json.dumps(found, indent=1) + "\n").encode(), targets_path(settings)
    if (path.read_bytes() if path.exists() else None) != content:
        write_atomic(path, content)
