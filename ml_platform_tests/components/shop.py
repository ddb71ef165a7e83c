"""Another team's Dagster project that uses the package as a library: its own root module, its own small dataset.

Everything goes through the commands that its people would type, in processes of their own.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_platform_tests.conftest import ROOT
from ml_platform_tests.prepared import once
from ml_platform_tests.several import several

BIN = Path(sys.executable).parent
DATASET, MODEL = "orders", "returns"
JANUARY, FEBRUARY, MARCH, APRIL = MONTHS = tuple(f"2024-{month:02d}-01" for month in range(1, 5))
#: What a project has before anything is declared, as the shop has it.
SKELETON = ("pyproject.toml", "workspace.yaml", "dagster.yaml", "src/grocery/definitions.py")


class Shop:
    """A project folder in the layout of ``create-dagster project``, and its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.defs = root / "src" / "shop" / "defs"
        self.source = root / "incoming"
        self.source.mkdir(parents=True, exist_ok=True)

    @classmethod
    def create(cls, root: Path) -> "Shop":
        """An empty project."""
        shop = cls(root)
        shop.defs.mkdir(parents=True)
        for name in SKELETON:
            text = (ROOT / "ml_platform_tests" / "shop" / name).read_text()
            (root / name.replace("grocery", "shop")).write_text(text.replace("grocery", "shop"))
        (shop.defs / "__init__.py").touch()
        (shop.defs.parent / "__init__.py").touch()
        return shop

    def copy(self, target: Path) -> "Shop":
        """The project elsewhere, with nothing that it ever ran."""
        shutil.copytree(self.root, target, ignore=shutil.ignore_patterns(".local", "__pycache__"))
        return Shop(target)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of the project's processes. ``PYTHONPATH`` stands for an installed project."""
        return {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "DAGSTER_HOME": str(self.root),
            "ML_PLATFORM_LOCAL": str(self.root / ".local"),
            "ML_PLATFORM_THREADS": "1",
            "ORDERS_FOLDER": str(self.source),
            "COLUMNS": "160",
        }

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment's ``bin`` in the project."""
        return self._run([str(BIN / command[0]), *command[1:]], environment)

    def _run(self, command: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def dg(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """``dg`` in the project."""
        return self.run("dg", *arguments, **environment)

    def ml(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """``ml-platform`` in the project, which is found from the folder, not from the import path."""
        return self.run("ml-platform", *arguments, **{"PYTHONPATH": "", **environment})

    def several(self, *commands: Sequence[str], **environment: str) -> "subprocess.CompletedProcess[str]":
        """Several commands of ``ml-platform`` in one process."""
        return self._run(several(*commands), {"PYTHONPATH": "", **environment})

    def edit(self, folder: str, old: str, new: str, file: str = "defs.yaml") -> Path:
        """Replace text in a file below a folder of ``defs``; the text has to be there."""
        path = self.defs / folder / file
        text = path.read_text()
        assert old in text, f"{path} does not contain {old!r}"
        path.write_text(text.replace(old, new))
        return path

    def deliver(self, month: str, rows: int = 600, *, seed: int = 0, shift: float = 0.0) -> Path:
        """Let a month of orders arrive; whether one is returned depends on its customer and on a range of amounts,
        which no straight line describes.

        ``shift`` moves the amounts, which is drift.
        """
        import numpy as np
        import polars as pl

        random = np.random.default_rng([seed, int(month[:4]), int(month[5:7])])
        first = np.datetime64(month)
        days = first + np.sort(random.integers(0, 28, rows))
        customer = random.integers(0, 12, rows)
        amount = random.gamma(2.0, 30.0, rows) + shift
        middle = np.abs(amount - shift - 60) < 30
        chance = np.where(middle, 0.75, 0.1) + np.where(customer % 3 == 0, 0.15, 0.0)
        start = (int(month[:4]) * 12 + int(month[5:7])) * 100_000
        frame = pl.DataFrame(
            {
                "id": np.arange(start, start + rows),
                "day": pl.Series(days.astype("datetime64[D]")),
                "customer": [f"c{number}" for number in customer],
                "amount": amount,
                "outcome": (random.random(rows) < chance).astype(np.int64),
            }
        )
        path = self.source / f"{month}.parquet"
        frame.write_parquet(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
        return path


def free_ports(count: int = 12) -> str:
    """A range of ports for the services of one test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = probe.getsockname()[1]
    first = min(first, 65535 - count)
    return f"{first}-{first + count - 1}"


def scaffolded(base: Path) -> Shop:
    """A project with everything that the scaffolds give (platform, dataset, features, model); ``base`` as for ``once``.

    It ran nothing; copy it before changing it.
    """
    root = base / "shop-template"
    if not root.exists():
        shutil.copytree(once(base, "shop-scaffolded", _scaffold), root)
    return Shop(root)


def _scaffold(root: Path) -> None:
    """By the scaffolds themselves, in this process; ``dg`` in one of its own takes three seconds for each."""
    import dagster as dg

    from ml_platform.orchestration.scaffold import DatasetScaffolder, ModelParams, ModelScaffolder, PlatformScaffolder

    shop, path, loaded = Shop.create(root), list(sys.path), set(sys.modules)
    try:
        for scaffolder, name, params in (
            (PlatformScaffolder, "platform", None),
            (DatasetScaffolder, DATASET, None),
            (ModelScaffolder, MODEL, ModelParams.model_validate({})),
        ):
            (folder := shop.defs / name).mkdir()
            component = f"ml_platform.{scaffolder.__name__.removesuffix('Scaffolder')}"
            request: dg.ScaffoldRequest[Any] = dg.ScaffoldRequest(component, folder, "yaml", root, params)
            scaffolder().scaffold(request)
    finally:
        # The project is moved and copied: none of its modules may stay.
        sys.path[:] = path
        for module in [name for name in sys.modules.keys() - loaded if name.partition(".")[0] == "shop"]:
            del sys.modules[module]
