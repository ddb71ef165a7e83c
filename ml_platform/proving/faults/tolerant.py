"""Somebody wanted to be tolerant: unknown fields are ignored, texts are taken for numbers."""

from functools import partial

from pydantic import ConfigDict

from ml_platform.serving.schema import STRICT, columns_model, rows_model
from ml_platform.serving.service import service

TOLERANT = STRICT | ConfigDict(extra="ignore", strict=False)

Service = service(
    rows_model=partial(rows_model, config=TOLERANT), columns_model=partial(columns_model, config=TOLERANT)
)
