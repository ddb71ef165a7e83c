"""A refusal is a result, not a crash: how a run shows it, and alerts that leave it alone.

A gate that holds back what follows ends its run as failed, which is how Dagster shows a blocking check. Dagster does
not retry it (``retry_on_asset_or_op_failure: false`` in ``dagster.yaml``), nor do the sensors of the platform.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ml_platform.declarations.reading import one_line
from ml_platform.foundation.errors import Refused
from ml_platform.gates.gate import Verdict

#: Start of the tags of a run with what its gates refused, by asset: ``ml_platform/refused.flight_delay.evaluation``.
REFUSED = "ml_platform/refused."
#: Dagster's name for a blocking check that did not pass.
BLOCKED = "DagsterAssetCheckFailedError"

Tell = Callable[[dg.RunFailureSensorContext, list[str]], Any]


def tag_refusal(context: Any, asset: dg.AssetKey, verdicts: Sequence[Verdict]) -> None:
    """Say in the tags of a step's run which gates hold an asset back, if any do."""
    if held := [f"{verdict.gate} {verdict.shown}" for verdict in verdicts if verdict.holds_back]:
        context.instance.add_run_tags(context.run.run_id, {REFUSED + ".".join(asset.path): ", ".join(held)})


@contextmanager
def tagged(context: Any, asset: dg.AssetKey) -> Generator[None]:
    """Say in the tags of a step's run why a step that is refused was, in a few words."""
    try:
        yield
    except Refused as refusal:
        context.instance.add_run_tags(context.run.run_id, {REFUSED + ".".join(asset.path): refusal.because})
        raise


def tag_refused_partitions(context: Any, asset: dg.AssetKey, verdicts: Mapping[str, Sequence[Verdict]]) -> None:
    """The same for an asset with partitions, each named with its gates."""
    held = {
        partition: ", ".join(f"{verdict.gate} {verdict.shown}" for verdict in given if verdict.holds_back)
        for partition, given in verdicts.items()
    }
    if said := "; ".join(f"{partition} {gates}" for partition, gates in held.items() if gates):
        context.instance.add_run_tags(context.run.run_id, {REFUSED + ".".join(asset.path): said})


def crashes(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """What failed in a failed run for another reason than a refusal, a line each; empty where gates did their work.

    A gate that could not judge is a crash: it holds back because something is broken, not because it was measured.
    """
    judged, failed = dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.STEP_FAILURE
    events = [log.dagster_event for log in instance.all_logs(run_id, of_type={judged, failed}) if log.dagster_event]
    found: list[str] = []
    for event in events:
        if event.event_type == judged:
            check = event.asset_check_evaluation_data
            status = check.metadata.get("status")
            if check.blocking and status is not None and status.value == "errored":
                found.append(f"{check.asset_key.to_user_string()}: gate {check.check_name}: {check.description}")
            continue
        failure = event.step_failure_data
        cause = (failure.error.cause or failure.error) if failure.error else None
        told = failure.user_failure_data
        refused = told is not None and told.metadata.get("error") == dg.MetadataValue.text(Refused.__name__)
        if not refused and not (cause and cause.cls_name == BLOCKED):
            reason = told.description if told and told.description else cause.message if cause else "failed"
            found.append(f"{(event.step_key or '').replace('__', '/')}: {one_line(reason)}")
    if not any(event.event_type == failed for event in events):
        found.append("the run was lost: no step says that it failed")
    return found


def crash_sensor(name: str, tell: Tell, **options: Any) -> dg.SensorDefinition:
    """A sensor that tells people about runs that crashed, and skips those in which gates only refused something.

    ``tell`` gets Dagster's context and what crashed, a line each. ``options`` are those of ``run_failure_sensor``.
    """

    @dg.run_failure_sensor(name=name, **options)
    def crash(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run_id = context.dagster_run.run_id
        found = crashes(context.instance, run_id)
        if not found:
            return dg.SkipReason(f"run {run_id[:8]}: refused by gates, nothing crashed")
        tell(context, found)
        return None

    return crash
