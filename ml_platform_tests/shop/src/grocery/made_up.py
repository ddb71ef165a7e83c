"""Purchases as they could have been, from a seed: the same month gives the same rows on every machine.

What there is to learn: light goods by telephone come back more often, dear ones in a range of prices that no straight
line describes, some products always more than others; a delivery takes as long as its depot, its weight and Sunday.
"""

import numpy as np
import polars as pl

PRODUCTS = ("apples", "bread", "cheese", "coffee", "eggs", "fish", "flowers", "lamps", "milk", "pans", "tea", "wine")
CHANNELS = ("counter", "phone", "web")
DEPOTS = ("east", "north", "west")
#: Rows of a month, and how many of them break a rule of the schema: a quantity of 0 that a till lets through.
ROWS, BROKEN = 1500, 4


def purchases(month: str, rows: int = ROWS, *, broken: int = BROKEN, seed: int = 0) -> pl.DataFrame:
    """The raw rows of the month that begins on ``month`` (``YYYY-MM-01``), in the order of the key.

    ``broken`` of them break a rule. Another ``seed`` gives other rows of the same kind. Orders by phone and those
    from the north are too few for a statement of their own.
    """
    year, number = int(month[:4]), int(month[5:7])
    random = np.random.default_rng([seed, year, number])
    day = np.sort(random.integers(0, 28, rows))
    product = random.integers(0, len(PRODUCTS), rows)
    channel = random.choice(len(CHANNELS), rows, p=(0.5, 0.1, 0.4))
    depot = random.choice(len(DEPOTS), rows, p=(0.5, 0.1, 0.4))
    price = np.round(random.gamma(3.0, 10.0, rows) + 0.5, 2)
    weight = np.round(random.lognormal(0.0, 0.6, rows), 2)
    date = (np.datetime64(month) + day).astype("datetime64[D]")
    sunday = np.is_busday(date, weekmask="Sun")

    odds = -2.4 + 1.7 * (np.abs(price - 30) < 10) + 0.9 * (channel == 1) - 0.5 * weight + 0.22 * (product % 6)
    returned = random.random(rows) < 1 / (1 + np.exp(-odds))
    days = 1.0 + 0.8 * depot + 0.6 * weight + 1.5 * sunday + random.gamma(2.0, 0.35, rows)

    quantity = 1 + random.poisson(1.0, rows)
    quantity[random.choice(rows, broken, replace=False)] = 0
    line = np.arange(rows)
    frame = pl.DataFrame(
        {
            # Three lines an order.
            "order_id": (year * 12 + number) * 10_000 + line // 3,
            "line": line % 3 + 1,
            "day": pl.Series(date),
            "customer": [f"c{one:03d}@example.org" for one in random.integers(0, 60, rows)],
            "product": [PRODUCTS[one] for one in product],
            "channel": [CHANNELS[one] for one in channel],
            "depot": [DEPOTS[one] for one in depot],
            "price": price,
            "quantity": quantity,
            "weight": weight,
            "returned": returned.astype(np.int64),
            "delivery_days": np.round(days, 1),
        }
    )
    # Not everything is weighed, and what was never collected neither arrived nor came back.
    unweighed, lost = (pl.Series(random.random(rows) < share) for share in (0.08, 0.03))
    return frame.with_columns(
        pl.when(~unweighed).then("weight").alias("weight"),
        *(pl.when(~lost).then(name).alias(name) for name in ("returned", "delivery_days")),
    )
