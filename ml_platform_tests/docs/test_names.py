"""What pages and comments list by name is what there is."""

import re

import pytest

from ml_platform.models.predictor import FORMATS
from ml_platform.models.task import TASKS
from ml_platform.training.trainer import TRAINERS
from ml_platform_tests.conftest import ROOT

KEYS = (ROOT / "docs" / "reference" / "keys.md").read_text()
DEVELOPMENT = (ROOT / "docs" / "development.md").read_text()
EXTEND = (ROOT / "docs" / "extend.md").read_text()


def quoted(text: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", text)


@pytest.mark.parametrize(("key", "names"), [("task", TASKS), ("trainer", TRAINERS)])
def test_the_keys_of_a_model_list_what_there_is(key: str, names: dict[str, str]) -> None:
    model = KEYS[KEYS.index("## `ml_platform.Model`") :]
    (told,) = re.findall(rf"^\| `{key}` \|[^|]*\|([^|]*)\|$", model, re.MULTILINE)
    assert quoted(told) == [*names]


def test_the_parameters_of_every_trainer_have_a_table() -> None:
    assert re.findall(r"^## `parameters` of `(\w+)`$", KEYS, re.MULTILINE) == [*TRAINERS]


@pytest.mark.parametrize(("seam", "names"), [("trainer", TRAINERS), ("predictor", FORMATS), ("task", TASKS)])
def test_the_page_about_extending_lists_what_there_is(seam: str, names: dict[str, str]) -> None:
    (row,) = re.findall(rf"^\| {seam} \|.*\|([^|]*)\|$", EXTEND, re.MULTILINE)[:1]
    assert quoted(row) == [*names]


def test_the_page_about_development_lists_every_stored_format_with_its_number() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| `(ml_platform/[\w/]+\.py)` \|$", DEVELOPMENT, re.MULTILINE)
    number = re.compile(r"^(?:FORMAT = \"?|\w+, FORMAT = .*, | +format: Literal\[\d+\] = )(\d+)\"?$", re.MULTILINE)
    found = [
        (one, path.relative_to(ROOT).as_posix())
        for path in (ROOT / "ml_platform").rglob("*.py")
        for one in number.findall(path.read_text())
    ]
    assert len(found) > 5 and sorted(rows) == sorted(found)
