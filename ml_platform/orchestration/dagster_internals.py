"""The private parts of Dagster that the platform uses; no other module imports any."""

import warnings
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Any

import dagster as dg

from ml_platform.foundation.internals import internals_of

VERSIONS = "~=1.13.27"

with internals_of("dagster", VERSIONS):
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationTargetMaterializationData as Target,
    )
    from dagster._core.definitions.data_version import (
        CODE_VERSION_TAG,
        DATA_VERSION_IS_USER_PROVIDED_TAG,
        DATA_VERSION_TAG,
        NULL_EVENT_POINTER,
        get_input_data_version_tag,
        get_input_event_pointer_tag,
    )
    from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
    from dagster._core.instance.ref import InstanceRef
    from dagster._serdes import ConfigurableClassData

__all__ = [
    "CODE_VERSION_TAG",
    "DATA_VERSION_IS_USER_PROVIDED_TAG",
    "DATA_VERSION_TAG",
    "NO_OWN_EVENTS",
    "NULL_EVENT_POINTER",
    "ConfigurableClassData",
    "Target",
    "attribute_of",
    "execute",
    "get_input_data_version_tag",
    "get_input_event_pointer_tag",
    "sqlite_storages",
    "storage_defaults",
]

#: Metadata of an output for which Dagster adds no materializations of its own.
NO_OWN_EVENTS = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


def storage_defaults(folder: str) -> Mapping[str, ConfigurableClassData | None]:
    """Dagster's own storages, with their files below a folder."""
    return InstanceRef.config_defaults(folder)


def sqlite_storages() -> tuple[Any, Any, str, dict[str, Any]]:
    """Dagster's SQLite storage and its event log, to derive from; its name of the file of all runs; arguments of a
    connection."""
    with internals_of("dagster", VERSIONS):
        from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
        from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
        from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

    connecting = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    return DagsterSqliteStorage, SqliteEventLogStorage, INDEX_SHARD_NAME, connecting


def attribute_of(module: ModuleType) -> str:
    """Name of the Definitions in a module, as Dagster finds them."""
    with internals_of("dagster", VERSIONS):
        from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module

    return loadable_targets_from_loaded_module(module)[0].attribute


def execute(
    instance: dg.DagsterInstance,
    module: str,
    attribute: str,
    folder: str,
    job: str,
    tags: dict[str, str],
    owners: Collection[str],
) -> tuple[str, Iterator[dg.DagsterEvent]]:
    """Run a job of a module's Definitions in this process: the run's id, and its events while they happen.

    Of the job only what belongs to the ``owners``, datasets and models: the first parts of its assets' keys.

    ``dg.execute_job`` gives them when the run has ended, and keeps no origin of the code with the run.
    """
    with internals_of("dagster", VERSIONS):
        from dagster._core.definitions.reconstruct import ReconstructableRepository
        from dagster._core.execution.api import execute_run_iterator

    # Dagster hands `owners` on itself where it copies a sensor: who reads the warning can do nothing about it.
    warnings.filterwarnings("ignore", "Parameter `owners` of initializer `SensorDefinition", dg.BetaWarning)
    code = ReconstructableRepository.for_module(module, attribute, folder).get_reconstructable_job(job)
    everything = code.get_definition().asset_layer.selected_asset_keys
    chosen = {key for key in everything if key.path[0] in owners}
    if chosen != everything:
        code = code.get_subset(asset_selection=chosen)
    run = instance.create_run_for_job(
        job_def=code.get_definition(),
        asset_selection=chosen if chosen != everything else None,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags=tags,
        job_code_origin=code.get_python_origin(),
    )
    return run.run_id, execute_run_iterator(code, run, instance)
