"""A Dagster project without anything in it, for benchmarks of `ml-platform new`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "mine"\n'


def empty_project(folder: Path) -> Path:
    """Write the project; returns the folder of its package ``mine``."""
    package = folder / "src" / "mine"
    (package / "defs").mkdir(parents=True)
    for place in (package, package / "defs"):
        (place / "__init__.py").touch()
    shop = ROOT / "ml_platform_tests" / "shop" / "src" / "grocery" / "definitions.py"
    (package / "definitions.py").write_text(shop.read_text())
    (folder / "pyproject.toml").write_text(PROJECT)
    return package
