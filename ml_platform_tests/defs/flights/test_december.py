"""December arrives day by day: each flight is answered with the history that training will have given it."""

from datetime import date, timedelta

import polars as pl

from ml_platform.defs.flights.features import flights
from ml_platform.defs.flights.source import source
from ml_platform.features.build import bits, featurize
from ml_platform.features.history import History, daily


def test_days_that_arrive_one_by_one_give_the_bits_of_the_month() -> None:
    november, december = source.read("2013-11-01"), source.read("2013-12-01")
    inputs = december.select(flights.inputs)
    published = History.from_tables(flights, [daily(flights, november)], 1)
    whole = History.from_tables(flights, [*published.tables, daily(flights, december)], 1, published)
    trained = bits(featurize(flights, inputs, whole))
    answered = refused = 0
    for number in range(31):
        today = date(2013, 12, 1) + timedelta(days=number)
        so_far = december.filter(pl.col("date") < today)
        history = published
        if so_far.height:
            history = History.from_tables(flights, [*published.tables, daily(flights, so_far)], 1, published)
        rows = (december["date"] == today).arg_true()
        refused += 0 if history.covers(today) else len(rows)
        asked = inputs[rows]
        assert bits(featurize(flights, asked, history)).tobytes() == trained[rows.to_numpy()].tobytes(), today
        # The path of one row, of some of them.
        for one in range(0, len(rows), 97):
            assert bits(featurize(flights, asked[one], history)).tobytes() == trained[rows[one]].tobytes(), today
        answered += len(rows)
    assert (answered, refused) == (december.height, 0)
    # Frozen at the end of November, all but the first day lack outcomes.
    behind = [published.behind(date(2013, 12, day)) for day in (1, 2, 31)]
    assert behind == [0, 1, 30]
