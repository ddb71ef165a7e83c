"""Version of the code that makes features, and what earlier releases called it."""

import pytest

from ml_platform.defs.flights.features import flights
from ml_platform.features import code
from ml_platform.features.code import equal_versions, feature_code_version

FLIGHTS = "ml_platform.defs.flights.features:flights"


def test_the_platforms_own_part_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    before = feature_code_version(FLIGHTS)
    assert before.startswith("1.") and len(before) == 14
    monkeypatch.setattr(code, "VERSION", 2)
    assert feature_code_version(FLIGHTS) == before.replace("1.", "2.", 1)
    assert equal_versions(flights) == (), "other features are built anew, whatever they were called before"


def test_what_the_release_before_numbers_built_is_found_by_its_text() -> None:
    """As `feature_code_version(flights)` of that release said, on the example as it was then."""
    assert equal_versions(flights) == ("a198cdf419a1",)
