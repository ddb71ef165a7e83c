"""``validate`` tells a mistake in a schema where it stands, in one line; the declarations that name it are in order."""

import pytest

from ml_platform_tests.cli.conftest import mistakes_in
from ml_platform_tests.components.shop import DATASET, Shop

AMOUNT = "amount: float = Field(nullable=True, ge=0, le=1e9"


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("day: pl.Date = Field(", 'day: "nothing" = Field(', "day:", "NameError: name 'nothing' is not defined"),
        (
            AMOUNT,
            "amount: float = 5  # (",
            "amount: float = 5",
            "SchemaInitError: 'amount' can only be assigned",
        ),
        (
            AMOUNT,
            'amount: float = Field(nullable=True, ge="a"',
            "amount:",
            "'amount': ge has 'a', which is none of the",
        ),
        (
            AMOUNT,
            "amount: float = Field(nullable=True, isin=['x']",
            "amount:",
            "isin has 'x', which is none of the num",
        ),
        (
            AMOUNT,
            "amount: float = Field(nullable=True, ge=5, le=1",
            "amount:",
            "no value is ge 5 and le 1; correct a b",
        ),
        (
            AMOUNT,
            "amount: float = Field(nullable=True, gt=5, le=5",
            "amount:",
            "no value is gt 5 and le 5; correct a b",
        ),
        ("day: pl.Date = Field(", 'day: pl.Date = Field(ge="2024-01-01", ', "day:", "which is none of the dates"),
        (AMOUNT, "amount: float = Field(nullable=True, metadata={'pi': 1}", "amount:", "unknown metadata ['pi']"),
        (
            AMOUNT,
            "amount: float = Field(nullable=True, metadata=3",
            "amount:",
            "the metadata of column 'amount' is 3; write a mapping",
        ),
        (
            AMOUNT,
            "amount: pl.Time = Field(nullable=True",
            "amount:",
            "is Time, which a request cannot carry; use one of",
        ),
        ("class Rows(DataFrameModel)", "class Rows", "class Rows", "is no pandera DataFrameModel; derive it from"),
    ],
)
def test_a_mistake_in_a_schema_is_told_at_its_line(shop: Shop, old: str, new: str, line: str, reason: str) -> None:
    shop.edit(DATASET, old, new, "schema.py")
    (told,) = [one for one in mistakes_in(shop) if "schema.py:" in one]
    assert reason in told
    place, _, said = told.removeprefix(f"src/shop/defs/{DATASET}/schema.py:").partition(": ")
    at = (shop.defs / DATASET / "schema.py").read_text().splitlines()[int(place) - 1]
    assert at.strip().startswith(line), (told, at)
    assert "\n" not in said and not [one for one in mistakes_in(shop) if f"{DATASET}/defs.yaml" in one]
