"""Versions that were live one after the other, made once: packages that are packages as far as anybody looks."""

import json
import shutil
from pathlib import Path

import pytest

from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.pipeline import rollout
from ml_platform.pipeline.recorded_packages import BENTOS
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout import control
from ml_platform.rollout.changes import promoted, started
from ml_platform.rollout.record import Backend
from ml_platform.serving import bundle
from ml_platform_tests.moving import moved
from ml_platform_tests.prepared import once
from ml_platform_tests.project import forget
from ml_platform_tests.registry.models import registered, trained

NAME = "tiny"


def package(settings: Settings, version: int, model_sha256: str = "") -> Backend:
    """A folder that is a package as far as anybody looks who does not start it."""
    made = settings.local / BENTOS / "new"
    (made / bundle.SOURCE).mkdir(parents=True)
    (made / bundle.SOURCE / "code.py").write_text(f"VERSION = {version}")
    (made / bundle.SOURCE / bundle.FOLDER).mkdir()
    (made / bundle.SOURCE / bundle.FOLDER / bundle.SERVICE).write_text(
        json.dumps({"entry": bundle.ENTRY, "model": NAME, "version": version, "model_sha256": model_sha256})
    )
    sha256 = bundle.content_sha256(made / bundle.SOURCE)
    (made / "bento.yaml").write_text(
        f"name: {NAME}\nversion: v{version}-{sha256[:12]}\nservice: {bundle.ENTRY}:Service\n"
    )
    place = made.rename(made.with_name(f"{NAME}-{version}-{sha256[:12]}"))
    return Backend(
        version=version, tag=f"{NAME}:v{version}-{sha256[:12]}", sha256=sha256, path=f"{BENTOS}/{place.name}"
    )


def supervised(workspace: Workspace) -> None:
    """What the supervisor does with a candidate that answers."""
    workspace.rollouts.update(NAME, lambda record: promoted(record, why="it answers") if record.candidate else record)


def nothing_runs(workspace: Workspace, patch: pytest.MonkeyPatch) -> None:
    """Start nothing, and tell whoever waits for a version that it answers."""

    def waited(*_: object, **__: object) -> str:
        supervised(workspace)
        return "http://127.0.0.1:1"

    patch.setattr(control, "ensure_running", lambda _: None)
    patch.setattr(control, "wait_live", waited)


def one_after_the_other(base: Path, settings: Settings) -> Workspace:
    """A copy of a folder in which versions 1 to 3 were live, one after the other; ``base`` as for :func:`once`."""

    def make(folder: Path) -> None:
        workspace, run = Workspace(Settings(local=folder)), Run.new()
        with pytest.MonkeyPatch.context() as patch:
            nothing_runs(workspace, patch)
            for number in (1, 2, 3):
                registered(workspace.registry, trained(workspace.registry, NAME, seed=number), "approved")
                backend = package(workspace.settings, number)
                rollout.begin(workspace, NAME, backend, run, by="x", why="y")
                workspace.rollouts.update(NAME, lambda record, new=backend: started(record, new, by="x", why="y"))
                supervised(workspace)
            assert rollout.project(workspace, NAME, run) == 3

    made = once(base, "one-after-the-other", make)
    shutil.copytree(made, settings.local)
    moved(settings.local, str(made), str(settings.local))
    forget()
    return Workspace(settings)
