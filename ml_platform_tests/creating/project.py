"""What the tests do in a project of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from ml_platform.creating.create import Created, create
from ml_platform.creating.roles import Wishes
from ml_platform_tests.creating.tables import write


@dataclass(frozen=True)
class Mine:
    """A project folder and its package."""

    root: Path
    package: str

    @property
    def defs(self) -> Path:
        """Where declarations are written."""
        return self.root / "src" / self.package / "defs"

    def table(self, frame: pl.DataFrame, name: str = "data/sales.csv") -> str:
        """The table as a file of the project; its path."""
        return str(write(frame, self.root / name))

    def new(self, where: str, target: str, *, name: str = "", **more: Any) -> Created:
        """``ml-platform new`` without a terminal; wishes and options by their names."""
        options = {key: more.pop(key) for key in ("every", "force", "ask", "told", "url_env") if key in more}
        return create(where, Wishes(target, **more), name=name, **options)

    def declared(self, folder: str) -> list[dict[str, Any]]:
        """The attributes in a ``defs.yaml``."""
        return [one["attributes"] for one in yaml.safe_load_all((self.defs / folder / "defs.yaml").read_text())]

    def files(self) -> dict[str, str]:
        """Every file that is declared or code."""
        return {
            path.relative_to(self.root).as_posix(): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.suffix in (".py", ".yaml") and "__pycache__" not in path.parts
        }
