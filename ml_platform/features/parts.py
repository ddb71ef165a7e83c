"""Rows of one table divided by a hash of their group: the same rows whatever is added, corrected or reordered."""

from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.references.refs import ManifestEntry, Part

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

#: Joins the values of a group, and stands for a missing one: characters that no value contains.
JOINER, MISSING = "\x1f", "\x00"
#: Groups are resampled in this many bundles: enough for an interval, few enough for the pairs of an AUC.
BUNDLES = 200


def place(frame: "pl.DataFrame", by: tuple[str, ...], salt: str) -> "np.ndarray":
    """Where the group of each row lies in [0, 1), by BLAKE2b of salt and values: (rows,) float64, evenly spread.

    Not by a hash of polars or Python, which differ between versions. Raises PlatformError for a column that is not
    there, and for fractions, which have more than one text.
    """
    import hashlib

    import numpy as np
    import polars as pl

    for name in by:
        dtype: Any = frame.schema.get(name)
        if dtype is None:
            raise PlatformError(
                f"split.group: the features have no column {name!r}; name it in `key` or `slices` of the feature "
                "function"
            )
        if dtype.is_float():
            raise PlatformError(f"split.group: {name!r} is {dtype}; take a whole number or a text, which match exactly")
    texts = frame.select(
        pl.concat_str([pl.col(name).cast(pl.String).fill_null(MISSING) for name in by], separator=JOINER).alias("group")
    )["group"]
    groups = texts.unique()
    start = hashlib.blake2b(salt.encode(), digest_size=8)

    def one(text: str) -> float:
        digest = start.copy()
        digest.update(text.encode())
        # 53 bits are what a float64 holds exactly.
        return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53

    found = pl.DataFrame({"group": groups, "place": [one(text) for text in groups.to_list()]})
    joined = texts.to_frame().join(found, on="group", how="left", maintain_order="left")["place"]
    return np.asarray(joined.to_numpy())


def of(frame: "pl.DataFrame", part: Part | None) -> "pl.DataFrame":
    """The rows of a part, in their order; of no part, all. Raises PlatformError as :func:`place` does."""
    import polars as pl

    if part is None:
        return frame
    held = place(frame, part.by, part.salt) < part.share
    return frame.filter(pl.Series(held if part.name == "holdout" else ~held))


def bundles(frame: "pl.DataFrame", part: Part) -> "np.ndarray":
    """The bundle of each row, 0 to :data:`BUNDLES` - 1; the rows of a group are in one. By a hash of its own."""
    import numpy as np

    return (place(frame, part.by, f"{part.salt} bundle") * BUNDLES).astype(np.int64)


def divided(entry: ManifestEntry, share: float, by: tuple[str, ...], salt: str) -> tuple[ManifestEntry, ManifestEntry]:
    """The entry as its part for training and its part that is held out."""
    train, holdout = (
        entry.model_copy(update={"part": Part(name=name, share=share, by=by, salt=salt)})
        for name in ("train", "holdout")
    )
    return train, holdout
