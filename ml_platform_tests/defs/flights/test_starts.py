"""An installation may begin in any month: honest months that follow are not refused for want of months before."""

from datetime import UTC, datetime

import pytest

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.defs.flights import source as flights
from ml_platform.proving.arrivals import Arrivals, Shared

MONTHS = tuple(f"2013-{month:02d}-01" for month in range(1, 13))
#: November is the only month before, and December has gusts.
KNOWN = [("2013-11-01", "2013-12-01", "distribution_psi")]


@pytest.mark.slow
def test_honest_months_pass_wherever_the_year_is_begun() -> None:
    context, shared = ModelContext.of(project_catalogue(), "flight_delay"), Shared()
    frames = {name: flights.source.read(name) for name in MONTHS}
    held = [
        (MONTHS[start], MONTHS[month], gate)
        for start in range(len(MONTHS))
        for month in range(start, len(MONTHS))
        for gate, verdict in Arrivals(
            context,
            {name: frames[name] for name in MONTHS[start : month + 1]},
            MONTHS[month],
            datetime(2014, 2, 1, tzinfo=UTC),
            shared=shared,
        ).clean.items()
        if verdict.holds_back
    ]
    assert held == KNOWN
