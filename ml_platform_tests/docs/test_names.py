"""What pages and comments list by name is what there is."""

import re
from typing import get_args

import pytest

from ml_platform.datasets.factory import STORES
from ml_platform.foundation.settings import RouterName, StoreName
from ml_platform.models.task import TASKS
from ml_platform.rollout.routers.factory import ROUTERS
from ml_platform.sources.kinds import SOURCES
from ml_platform.training.trainer import TRAINERS
from ml_platform_tests.conftest import ROOT

KEYS = (ROOT / "docs" / "reference" / "keys.md").read_text()
DEVELOPMENT = (ROOT / "docs" / "development.md").read_text()


def quoted(text: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", text)


@pytest.mark.parametrize(("key", "names"), [("task", TASKS), ("trainer", TRAINERS)])
def test_the_keys_of_a_model_list_what_there_is(key: str, names: dict[str, str]) -> None:
    model = KEYS[KEYS.index("## `ml_platform.Model`") :]
    (told,) = re.findall(rf"^\| `{key}` \|[^|]*\|([^|]*)\|$", model, re.MULTILINE)
    assert quoted(told) == [*names]


def test_the_key_source_lists_every_kind_and_each_has_a_table() -> None:
    (told,) = re.findall(r"^\| `source` \|[^|]*\|([^|]*)\|$", KEYS, re.MULTILINE)
    assert quoted(told.partition("a `kind`: ")[2]) == [*SOURCES]
    assert re.findall(r"^## `source: \{kind: (\w+), …\}`$", KEYS, re.MULTILINE) == [*SOURCES]


def test_the_parameters_of_every_trainer_have_a_table() -> None:
    assert re.findall(r"^## `parameters` of `(\w+)`$", KEYS, re.MULTILINE) == [*TRAINERS]


def test_stores_and_routers_are_those_that_the_settings_name() -> None:
    assert {*STORES} == {*get_args(StoreName)}
    assert {*ROUTERS, "auto"} == {*get_args(RouterName)}


def test_the_page_about_development_lists_every_stored_format_with_its_number() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| `(ml_platform/[\w/]+\.py)` \|$", DEVELOPMENT, re.MULTILINE)
    number = re.compile(r"^(?:FORMAT = \"?|\w+, FORMAT = .*, | +format: Literal\[\d+\] = )(\d+)\"?$", re.MULTILINE)
    found = [
        (one, path.relative_to(ROOT).as_posix())
        for path in (ROOT / "ml_platform").rglob("*.py")
        for one in number.findall(path.read_text())
    ]
    assert len(found) > 5 and sorted(rows) == sorted(found)
