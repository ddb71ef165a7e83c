"""Declarations of sources and partitions that cannot be meant, each in one line with the way out."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ml_platform.sources.addresses import FsspecSource
from ml_platform.sources.partitions import Partitions
from ml_platform.training.split import SplitRule


@pytest.mark.parametrize(
    ("kind", "declared", "said"),
    [
        (
            FsspecSource,
            {"kind": "fsspec", "url": "s3://me:pw@b/*"},  # pragma: allowlist secret
            "holds a password; give it by options_env",
        ),
        (
            FsspecSource,
            {"kind": "fsspec", "url": "s3://b/*", "by": "time", "options": {"api_token": "x"}},
            "api_token may be a secret: name an environment variable in options_env instead",
        ),
        (Partitions, {"every": "month"}, 'every month needs a start: {every: month, start: "2024-01-01"}'),
        (Partitions, {"every": "year", "start": "2024-03-01"}, 'years begin on January 1; take start: "2024-01-01"'),
        (Partitions, {"every": "hour", "start": "noon"}, "start: 'noon' is no hour; write it in UTC"),
        (SplitRule, {"holdout": 1.5}, "a share of the groups below 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: type[BaseModel], declared: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        kind.model_validate(declared)
    assert said in str(error.value)


def test_options_that_are_no_secret_are_taken() -> None:
    rule = FsspecSource.model_validate({"kind": "fsspec", "url": "s3://b/*", "by": "time", "options": {"anon": True}})
    assert rule.options == {"anon": True}
