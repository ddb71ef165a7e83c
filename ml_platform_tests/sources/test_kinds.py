"""A kind of source is one module and one line in the table: messages, declarations and the pages know it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ml_platform.sources.kinds import SOURCES
from ml_platform.sources.opening import rule_of
from ml_platform_tests.conftest import ROOT

PAGES = '''
from typing import Literal

import polars as pl
from pydantic import Field

from ml_platform.sources.columns import with_days
from ml_platform.sources.context import SourceContext
from ml_platform.sources.source_rule import SourceRule


class PagesSource(SourceRule):
    """Pages of an address."""

    kind: Literal["pages"]
    #: Columns to add with the day of a timestamp.
    days: dict[str, str] = Field({})

    def open(self, context: SourceContext) -> "Pages":
        return Pages(self)


class Pages:
    def __init__(self, rule):
        self.rule = rule

    def check(self):
        from ml_platform.foundation.errors import DeclarationError

        raise DeclarationError("source: the pages were asked")

    def partitions(self):
        return {"2024-01-01": "1"}

    def read(self, partition):
        return with_days(pl.DataFrame({"at": [partition]}).cast(pl.Datetime), self.rule.days)
'''
USED = """
import sys

from ml_platform.sources.kinds import SOURCES

SOURCES["pages"] = "pages:PagesSource"

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.mistakes import problems
from ml_platform_tests.sources.example import spec

made = spec({"kind": "pages", "days": {"day": "at"}})
print(made.load_source().partitions(), made.added, made.model_dump(mode="json", by_alias=True)["source"])
print(problems(Catalogue.of([made]))[0][2])
try:
    spec({"kind": "leaves"})
except Exception as error:
    print(error)
sys.path.insert(0, sys.argv[1])
import keys

print("\\n".join(keys.tables()))
"""


def test_a_kind_is_a_module_and_a_line_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "pages.py").write_text(PAGES)
    done = subprocess.run(
        [sys.executable, "-c", USED, str(ROOT / "docs" / "reference")],
        cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    opened, mistake, *rest = done.stdout.splitlines()
    assert opened == "{'2024-01-01': '1'} {'day': 'at'} {'kind': 'pages', 'days': {'day': 'at'}}"
    assert mistake == "the pages were asked"
    text = "\n".join(rest)
    assert f"a kind: {', '.join(SOURCES)} or pages" in text
    assert ", ".join(f"`{kind}`" for kind in [*SOURCES, "pages"]) in text
    assert "## `source: {kind: pages, …}`" in text and "Columns to add with the day of a timestamp." in text


@pytest.mark.parametrize("kind", SOURCES)
def test_every_rule_has_the_kind_of_its_line(kind: str) -> None:
    assert rule_of(kind).model_fields["kind"].annotation.__args__ == (kind,)  # type: ignore[union-attr]
