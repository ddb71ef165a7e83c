"""Tables of strangers by seeded generators, each of another shape."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


def trips(rows: int = 6_000) -> pl.DataFrame:
    """Taxi trips: timestamps, text with gaps, names with spaces, an outcome that gives the target away."""
    random = np.random.default_rng(1)
    start = datetime(2023, 1, 1)
    at = [start + timedelta(minutes=int(minute)) for minute in np.sort(random.integers(0, 8 * 30 * 24 * 60, rows))]
    distance = random.gamma(2.0, 2.5, rows)
    zone = random.choice([f"zone {number:03d}" for number in range(120)], rows)
    pull = {name: value for name, value in zip(sorted(set(zone)), random.normal(0, 1.0, 120), strict=False)}
    payment = random.choice(["credit card", "cash", "voucher"], rows, p=[0.6, 0.35, 0.05])
    night = np.array([moment.hour >= 20 or moment.hour < 6 for moment in at])
    score = 0.25 * distance + 1.2 * (payment == "credit card") + np.array([pull[name] for name in zone]) + 0.8 * night
    tipped = random.random(rows) < 1 / (1 + np.exp(-(score - 2.6)))
    return pl.DataFrame(
        {
            "Trip ID": [f"T{number:06d}" for number in range(rows)],
            "Picked up at": at,
            "Trip Distance (km)": np.round(distance, 2),
            "passengers": random.integers(1, 6, rows),
            "Zone": zone,
            "payment": [None if random.random() < 0.03 else str(one) for one in payment],
            "Rider e-mail": [f"rider{number}@example.org" for number in random.integers(0, 900, rows)],
            "tip": [round(float(random.gamma(2, 1.5)), 2) if one else 0.0 for one in tipped],
            "tipped": ["yes" if one else "no" for one in tipped],
        }
    )  # fmt: skip


def hourly(rows: int = 3_000) -> pl.DataFrame:
    """Demand by the hour: a date of its own, a number to predict, missing values."""
    random = np.random.default_rng(2)
    day = [date(2024, 1, 1) + timedelta(days=int(one)) for one in np.sort(random.integers(0, 12 * 7, rows))]
    temperature = random.normal(12, 8, rows)
    hour = random.integers(0, 24, rows)
    store = random.integers(1, 9, rows)
    sold = 20 + 0.8 * temperature + 6 * np.sin(hour / 24 * 6.28) + 3 * store + random.normal(0, 6, rows)
    return pl.DataFrame(
        {
            "number": list(range(rows)),
            "day": day,
            "hour": hour,
            "temperature": [None if random.random() < 0.1 else round(float(one), 1) for one in temperature],
            "store_id": store,
            "sold": np.round(sold, 1),
        }
    )


def wide(rows: int = 5_000, *, timed: bool = True) -> pl.DataFrame:
    """300 columns of numbers, whole numbers, texts of few and of many values, and numbers with gaps."""
    random = np.random.default_rng(7)
    found: dict[str, Any] = {"id": list(range(rows))}
    if timed:
        hours = np.sort(random.integers(0, 24 * 300, rows))
        found["seen_at"] = [datetime(2024, 1, 1) + timedelta(hours=int(hour)) for hour in hours]
    drawn = np.zeros(rows)
    for place in range(299 - len(found)):
        kind, pull = place % 6, random.normal() * (place % 7 == 0)
        if kind in (3, 4):
            values = random.integers(0, 5 if kind == 3 else 60, rows)
            found[f"c{place:03}"] = [f"v{value}" for value in values]
            scaled = values / values.max() * 2 - 1
        elif kind == 2:
            values = random.integers(0, 100, rows)
            found[f"c{place:03}"], scaled = values, values / 50 - 1
        else:
            scaled = random.normal(size=rows)
            number = scaled.round(2) if kind == 5 else (50 + 10 * scaled).round(3)
            found[f"c{place:03}"] = (
                number if kind < 5 else pl.Series(number).set(pl.Series(random.random(rows) < 0.2), None)
            )
        drawn += pull * scaled
    noise = random.normal(size=rows) * 0.7
    return pl.DataFrame(found).with_columns(bought=pl.Series(np.where(drawn / drawn.std() + noise > 0, "yes", "no")))


def noise(rows: int = 2_000) -> pl.DataFrame:
    """A target that nothing in the table has to do with."""
    random = np.random.default_rng(3)
    day = [date(2024, 1, 1) + timedelta(days=int(one)) for one in np.sort(random.integers(0, 180, rows))]
    return pl.DataFrame(
        {
            "id": list(range(rows)),
            "day": day,
            "a": random.normal(size=rows).round(3),
            "b": random.normal(size=rows).round(3),
            "kind": random.choice(["x", "y", "z"], rows),
            "won": random.integers(0, 2, rows),
        }
    )


def visits(customers: int = 400) -> pl.DataFrame:
    """Several rows of each customer and no time: three classes."""
    random = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for customer in range(customers):
        taste, age = random.normal(), int(random.integers(18, 90))
        for _ in range(int(random.integers(2, 7))):
            basket = float(random.gamma(3, 10))
            mood = taste + 0.03 * basket + random.normal(0, 0.5)
            plan = "gold" if mood > 1.6 else "silver" if mood > 0.6 else "basic"
            rows.append(
                {
                    "customer_id": 1000 + customer,
                    "age": age,
                    "basket": round(basket, 2),
                    "taste": round(taste, 2),
                    "plan": plan,
                }
            )
    return pl.DataFrame(rows)


def write(frame: pl.DataFrame, path: Path) -> Path:
    """As a person would have it: CSV, timestamps without fractions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
    return path


def bundled(name: str) -> pl.DataFrame:
    """A real table of scikit-learn: ``wine`` (three classes) or ``diabetes`` (a number)."""
    from sklearn import datasets

    found: Any = getattr(datasets, f"load_{name}")()
    return pl.DataFrame(found.data, schema=list(found.feature_names)).with_columns(target=pl.Series(found.target))


def by_the_hour(hours: int = 60, zone: str = "+01:00") -> pl.DataFrame:
    """Some days of a machine with many rows per hour: times with an offset, a number to predict."""
    random = np.random.default_rng(5)
    rows = hours * 30
    at = [datetime(2024, 3, 4, 0) + timedelta(hours=hours * place / rows) for place in range(rows)]
    load = random.gamma(4, 10, rows)
    machine = random.choice([f"m{number}" for number in range(4)], rows)
    warm = np.array([moment.hour for moment in at])
    heat = 20 + 0.5 * load + 5 * (machine == "m1") + warm + random.normal(0, 2, rows)
    return pl.DataFrame(
        {
            "reading": list(range(5_000, 5_000 + rows)),
            "Measured at": [f"{moment:%Y-%m-%dT%H:%M:%S}{zone}" for moment in at],
            "machine": machine,
            "load": np.round(load, 1),
            "heat": np.round(heat, 1),
        }
    )
