"""When the daemon has nothing left to do."""

from types import SimpleNamespace
from typing import Any

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.orchestration.quiet import restless, wait_quiet

SENSORS = ("new_data", "alerts")
SKIPPED, SUCCESS, FAILURE = "SKIPPED", "SUCCESS", "FAILURE"


def instance(ticks: dict[str, tuple[str, float]], ended: float = 10.0, busy: str = "") -> Any:
    """An instance with the newest tick of each sensor, the end of its last run, and a run that is under way."""

    def records(filters: Any = None, limit: int = 0) -> list[Any]:
        if filters is not None:
            return [SimpleNamespace(dagster_run=SimpleNamespace(job_name=busy))] if busy else []
        return [SimpleNamespace(end_time=ended), SimpleNamespace(end_time=None)]

    def newest(name: str, _: str, limit: int) -> list[Any]:
        status, at = ticks[name]
        return [SimpleNamespace(status=SimpleNamespace(value=status), timestamp=at, error=None)]

    states = [SimpleNamespace(instigator_name=n, instigator_origin_id=n, selector_id="") for n in (*ticks, "other")]
    return SimpleNamespace(get_run_records=records, all_instigator_state=lambda: states, get_ticks=newest)


@pytest.mark.parametrize(
    ("ticks", "since", "busy", "said"),
    [
        ({"new_data": (SKIPPED, 12), "alerts": (SKIPPED, 13)}, 5, "", ""),
        ({"new_data": (SKIPPED, 12), "alerts": (SKIPPED, 13)}, 5, "flights_ingest", "run of flights_ingest"),
        ({"new_data": (SKIPPED, 12), "alerts": (SKIPPED, 9)}, 5, "", "a look of the sensor alerts"),
        ({"new_data": (SKIPPED, 12), "alerts": (SKIPPED, 13)}, 12.5, "", "a look of the sensor new_data"),
        ({"new_data": (SUCCESS, 12), "alerts": (SKIPPED, 13)}, 5, "", "a look of the sensor new_data"),
        ({"alerts": (SKIPPED, 13)}, 5, "", "a look of the sensor new_data"),
        ({"new_data": (FAILURE, 12), "alerts": (SKIPPED, 13)}, 5, "", "sensor new_data fails: "),
    ],
)
def test_it_is_quiet_once_every_sensor_looked_and_asked_for_nothing(
    ticks: dict[str, tuple[str, float]], since: float, busy: str, said: str
) -> None:
    assert restless(instance(ticks, busy=busy), since, SENSORS) == said


def test_waiting_ends_and_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_platform.orchestration.quiet.POLL", 0.0)
    quiet = instance({name: (SKIPPED, 12.0) for name in ("new_data", "history", "live", "drift", "alerts")})
    looks = iter([False, False, True])
    calls: list[int] = []
    wait_quiet(quiet, 5, lambda: calls.append(1), until=lambda: next(looks), seconds=60)
    assert len(calls) == 2
    wait_quiet(instance({}, busy="flights_ingest"), 5, lambda: None, enough=lambda: True, seconds=0)
    with pytest.raises(PlatformError, match="after 0 s it is still waited for a rollout"):
        wait_quiet(quiet, 5, lambda: None, until=lambda: False, seconds=0)
