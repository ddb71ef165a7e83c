"""Rows are held out by their group: whatever else is in the table."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_platform.features import parts
from ml_platform.foundation.errors import PlatformError
from ml_platform.references.refs import ManifestEntry, Part

ENTRY = ManifestEntry(
    partition="all", sha256="a" * 64, commit="c", path="p", rows=3, first="", last="", inputs={"shop/all": "b" * 64}
)
TRAIN, HOLDOUT = (entry.part for entry in parts.divided(ENTRY, 0.25, ("customer",), "churn"))

#: Of the three groups below, by BLAKE2b.
PLACES = [0.101510056396, 0.253507234756, 0.3684639034]

customers = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)


def table(values: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"customer": values, "row": range(len(values))})


@given(customers, customers, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_a_group_is_in_one_part_whatever_is_added_or_reordered(known, added, random) -> None:  # type: ignore[no-untyped-def]
    rows = [*known, *added]
    random.shuffle(rows)
    before, after = ({*parts.of(table(one), HOLDOUT)["customer"]} for one in (known, rows))
    assert before == after & {*known}
    assert not after & {*parts.of(table(rows), TRAIN)["customer"]}
    both = pl.concat([parts.of(table(rows), part) for part in (TRAIN, HOLDOUT)]).sort("row")
    assert_frame_equal(both, table(rows))


def test_the_share_is_that_of_the_groups() -> None:
    rows = 40_000
    held = parts.of(table([*range(rows)]), HOLDOUT).height / rows
    assert abs(held - 0.25) < 4 * math.sqrt(0.25 * 0.75 / rows)


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    # Another hash would exchange the holdout of every model without time, unseen.
    frame = pl.DataFrame({"customer": ["ann", None, "é"], "shop": [1, 2, None]})
    assert [*parts.place(frame, ("customer", "shop"), "churn").round(12)] == PLACES


def test_another_salt_is_another_division() -> None:
    rows = table([*range(2_000)])
    other = HOLDOUT.model_copy(update={"salt": "other"}) if HOLDOUT else None
    assert not parts.of(rows, HOLDOUT).equals(parts.of(rows, other))


def test_bundles_hold_whole_groups() -> None:
    rows = table([*range(500)] * 3)
    assert HOLDOUT is not None
    found = rows.with_columns(bundle=parts.bundles(rows, HOLDOUT))
    assert found.group_by("customer").agg(pl.col("bundle").n_unique())["bundle"].to_list() == [1] * 500
    assert found["bundle"].n_unique() > 100 and found["bundle"].is_between(0, parts.BUNDLES - 1).all()


@pytest.mark.parametrize(
    ("by", "reason"),
    [(("shop",), "no column 'shop'; name it in `key` or `slices`"), (("price",), "'price' is Float64; take a whole")],
)
def test_what_makes_no_group_is_refused_in_one_line(by: tuple[str, ...], reason: str) -> None:
    frame = pl.DataFrame({"customer": [1], "price": [0.5]})
    with pytest.raises(PlatformError, match=reason) as caught:
        parts.of(frame, Part(name="train", share=0.2, by=by, salt=""))
    assert "\n" not in str(caught.value)


def test_no_part_is_the_whole_partition() -> None:
    assert parts.of(table([1, 2]), None).height == 2
