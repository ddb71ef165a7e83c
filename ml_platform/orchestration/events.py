"""The events of a step over several partitions: each partition has its own version and its own verdicts.

Dagster gives every partition of a single-run step the same data version, and a blocking check without a
partition lets a pass in February hide a failure in January. Both are put right here, in one place.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from ml_platform.foundation.provenance import Run
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.orchestration.dagster_internals import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NO_OWN_EVENTS,
    NULL_EVENT_POINTER,
    Target,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from ml_platform.orchestration.metadata import ref_metadata, verdict_metadata
from ml_platform.references.refs import DatasetRef


def step_run(context: Any) -> Run:
    """The run that a step acts for."""
    return Run(id=context.run.run_id)


def materialized(
    context: dg.AssetExecutionContext,
    refs: Mapping[str, DatasetRef],
    *,
    upstream: Mapping[str, DatasetRef] | None = None,
    parent: dg.AssetKey | None = None,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Any]:
    """One materialization per reference, each with its own data version, then the output.

    Partitions of the run without a reference (refused ones) get no event. ``upstream`` are the references that were
    read from ``parent``; ``tags`` of a partition are added to those of its materialization.
    """
    code = context.assets_def.specs_by_key[context.asset_key].code_version
    for partition, ref in refs.items():
        own = {DATA_VERSION_TAG: ref.sha256, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
        if code is not None:
            own[CODE_VERSION_TAG] = code
        if parent is not None and upstream is not None:
            records = context.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=parent, asset_partitions=[partition]), limit=20
            ).records
            own |= input_tags(parent, upstream[partition].sha256, records)
        yield dg.AssetMaterialization(
            asset_key=context.asset_key,
            partition=partition,
            metadata={**ref_metadata(ref), **((metadata or {}).get(partition) or {})},
            tags={**own, **((tags or {}).get(partition) or {})},
        )
    # Else Dagster would add an event for every partition of the run, refused ones included, all with one version.
    yield dg.Output(dict(refs), metadata=NO_OWN_EVENTS)


def evaluated(
    context: Any, asset: dg.AssetKey, gates: Sequence[Gate], verdicts: Mapping[str, list[Verdict]]
) -> Iterator[Any]:
    """One evaluation per partition and gate, aimed at that partition's own materialization.

    In a run over several partitions a refused one does not hold the others back: what follows re-reads the
    verdicts and leaves it out. Where none passes, the step fails and nothing follows.
    """
    _complete(gates, verdicts)
    refused = [partition for partition, given in verdicts.items() if any(verdict.holds_back for verdict in given)]
    none_passed = len(refused) == len(verdicts)
    for partition, given in verdicts.items():
        target = _target(context.instance, asset, partition)
        for verdict in given:
            yield dg.AssetCheckEvaluation(
                asset_key=asset,
                check_name=verdict.gate,
                passed=verdict.passed,
                metadata=verdict_metadata(verdict),
                partition=partition,
                blocking=verdict.blocking and not verdict.override and none_passed,
                severity=severity(verdict),
                description=verdict.reason,
                target_materialization_data=target,
            )
    for gate in gates:
        spec = dg.AssetCheckSpec(gate.name, asset=asset)
        yield dg.Output(None, output_name=spec.get_python_identifier())


def results(gates: Sequence[Gate], verdicts: list[Verdict]) -> Iterator[dg.AssetCheckResult]:
    """Check results of an unpartitioned asset, one per declared gate."""
    _complete(gates, {"": verdicts})
    for verdict in verdicts:
        yield dg.AssetCheckResult(
            check_name=verdict.gate,
            passed=verdict.passed,
            severity=severity(verdict),
            description=verdict.reason,
            metadata=verdict_metadata(verdict),
        )


def severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    """ERROR for a gate that blocks, WARN for one that only tells or is overridden."""
    blocks = verdict.blocking and not verdict.override
    return dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN


def _complete(gates: Sequence[Gate], verdicts: Mapping[str, list[Verdict]]) -> None:
    wanted = sorted(gate.name for gate in gates)
    for partition, given in verdicts.items():
        if sorted(verdict.gate for verdict in given) != wanted:
            raise dg.DagsterInvariantViolationError(
                f"gates declared {wanted}, verdicts given {sorted(v.gate for v in given)} {partition}"
            )


def input_tags(key: dg.AssetKey, version: str, records: Sequence[dg.EventLogRecord]) -> dict[str, str]:
    """Tags of a materialization that read ``version`` of ``key``, and the newest of the events that had it.

    Without the event that was read, Dagster never shows a partition as stale.
    """
    found = NULL_EVENT_POINTER
    for record in records:
        event = record.asset_materialization or record.asset_observation
        if event is not None and (event.tags or {}).get(DATA_VERSION_TAG) == version:
            found = str(record.storage_id)
            break
    return {get_input_data_version_tag(key): version, get_input_event_pointer_tag(key): found}


def _target(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> Target | None:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition]), limit=1
    ).records
    if not found:
        return None
    record = found[0]
    return Target(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)
