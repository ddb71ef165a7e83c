"""States that take seconds to make: made once for all processes of a session of tests, to be copied from there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ml_platform.foundation.locks import locked
from ml_platform_tests.moving import moved


def once(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` that ``make`` filled, beside the base folders of all processes of pytest-xdist.

    ``base`` is pytest's base folder of this process. Nobody writes to the folder, or opens a database in it.
    """
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, building = shared / name, shared / f".{name}.building"
    with locked(shared / f".{name}.lock"):
        if not folder.exists():
            shutil.rmtree(building, ignore_errors=True)  # of an attempt that failed
            make(building)
            # The process that made it may keep its databases open: nothing of that is in a copy.
            copy = shutil.copytree(building, shared / f".{name}.copy", dirs_exist_ok=True)
            moved(copy, str(building), str(folder))
            copy.rename(folder)
            shutil.rmtree(building, ignore_errors=True)
    return folder
