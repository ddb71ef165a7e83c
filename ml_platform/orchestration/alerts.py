"""The sensor that tells people what they have to know."""

from collections.abc import Iterator

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.reading import one_line
from ml_platform.foundation.settings import get_settings
from ml_platform.live.messages import variables
from ml_platform.orchestration.runs import under_way
from ml_platform.orchestration.sensors import Tick
from ml_platform.pipeline.alerts import KINDS, Alert, standing, tell

#: What is about a sensor of Dagster.
SENSOR = "sensor"


def alert_sensor(catalogue: Catalogue) -> dg.SensorDefinition:
    """Once until it changes: by the channels of the settings, and on this page."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=2 * get_settings().sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells people what needs them, by {', '.join(variables())} and a channel of the project's own, or "
        "here.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = Tick(context, catalogue)
        # Of a dataset whose batches are being taken the next tick knows more.
        taking = {name for name in catalogue.datasets if under_way(context.instance, name, f"{name}_ingest")}
        everything = [*standing(tick.workspace, catalogue), *failing(context.instance)]
        found = [alert for alert in everything if alert.name not in taking]
        tick.notes += tell(tick.workspace, found, kinds=[*KINDS, SENSOR], unless=taking)
        tick.notes += [alert.said for alert in found] or ["nothing needs a person"]
        return tick.result()

    return alerts


def failing(instance: dg.DagsterInstance) -> Iterator[Alert]:
    """Sensors whose last tick failed."""
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if ticks and ticks[0].status.value == "FAILURE":
            error, name = ticks[0].error, state.instigator_name
            reason = one_line((error.cause or error).message) if error else "its tick failed"
            yield Alert(name, SENSOR, f"sensor {name} fails: {reason}; see its page below Automation", reason)
