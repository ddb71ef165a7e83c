"""Waiting until the daemon has nothing left to do."""

import time
from collections.abc import Callable, Collection

import dagster as dg

from ml_platform.foundation.errors import PlatformError
from ml_platform.orchestration.runs import BUSY

#: Seconds from one look to the next.
POLL = 0.5
#: The sensors that look at data and models.
SENSORS = ("new_data", "history", "live", "drift", "alerts")


def restless(instance: dg.DagsterInstance, since: float, sensors: Collection[str] = SENSORS) -> str:
    """What is still to come in a few words; empty where no run is under way and each of these sensors has looked and
    asked for nothing, after ``since`` (seconds of the epoch) and after the end of the last run."""
    if busy := instance.get_run_records(dg.RunsFilter(statuses=BUSY)):
        return f"run of {busy[0].dagster_run.job_name}"
    ended = [record.end_time or 0.0 for record in instance.get_run_records(limit=5)]
    after = max([since, *ended])
    waiting = set(sensors)
    for state in instance.all_instigator_state():
        if state.instigator_name in waiting:
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
                if tick.status.value == "FAILURE":
                    return f"sensor {state.instigator_name} fails: {tick.error.message if tick.error else ''}"
                if tick.status.value == "SKIPPED" and tick.timestamp > after:
                    waiting.discard(state.instigator_name)
    return f"a look of the sensor {min(waiting)}" if waiting else ""


def wait_quiet(
    instance: dg.DagsterInstance,
    since: float,
    meanwhile: Callable[[], object],
    *,
    enough: Callable[[], bool] = lambda: False,
    until: Callable[[], bool] = lambda: True,
    seconds: float,
) -> None:
    """Return once nothing is to come and ``until`` holds, or once that is ``enough``; ``meanwhile`` is called again and
    again before.

    Raises PlatformError where that takes longer than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not enough() and ((left := restless(instance, since)) or not until()):
        if time.monotonic() > deadline:
            raise PlatformError(f"after {seconds:.0f} s it is still waited for {left or 'a rollout'}")
        meanwhile()
        time.sleep(POLL)
