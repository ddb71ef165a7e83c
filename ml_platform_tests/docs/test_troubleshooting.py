"""The page of messages quotes what the code says; what the pages declare is a declaration."""

import ast
import re
from functools import lru_cache

import pytest
import yaml

from ml_platform.declarations.features import FeatureSpec
from ml_platform_tests.conftest import ROOT

DOCS = ROOT / "docs"
MESSAGES = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)


@lru_cache(maxsize=1)
def said() -> list[str]:
    """Every text of the code; of those with values in them ``…`` stands for each."""
    texts = []
    for file in (ROOT / "ml_platform").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_there_are_messages() -> None:
    assert len(MESSAGES) >= 15
    assert not any("a message that nobody writes" in text for text in said())


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_quoted_as_it_is(message: str) -> None:
    assert any(message in text for text in said()), "no code says this any more"


def test_the_expressions_on_the_page_are_declared_well() -> None:
    (block,) = re.findall(r"```yaml\n(type: ml_platform\.FeatureSet\n.*?)```", (DOCS / "own.md").read_text(), re.DOTALL)
    function = FeatureSpec.model_validate(yaml.safe_load(block)["attributes"]).load_function()
    assert function.inputs == ("order_id", "day", "payment", "price", "weight", "zone")
