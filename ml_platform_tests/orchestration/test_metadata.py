"""What the UI shows: descriptions that read as sentences, and links only where a browser can follow them."""

import dagster as dg
import pytest

from ml_platform.foundation.settings import Settings
from ml_platform.orchestration.metadata import mlflow_link, sentences
from ml_platform.pipeline.workspace import Workspace


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ("Will it be late?", "Will it be late? The service that answers."),
        ("What is known", "What is known. The service that answers."),
        ("Rows of sales. ", "Rows of sales. The service that answers."),
    ],
)
def test_descriptions_are_sentences(about: str, expected: str) -> None:
    assert sentences(about, "the service that answers.") == expected


def test_a_local_run_of_mlflow_is_named_and_not_linked(settings: Settings) -> None:
    assert mlflow_link(Workspace(settings), "late", "abc") == dg.MetadataValue.text("abc")
