"""What the builders of assets share: keys, partitions, checks, versions of user code."""

import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import Declaration
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.patience import waiting
from ml_platform.foundation.raised import explained
from ml_platform.foundation.settings import get_settings
from ml_platform.foundation.user_code import UnknownModule, user_code_version
from ml_platform.gates.gate import Gate
from ml_platform.pipeline.workspace import Workspace
from ml_platform.sources.partitions import WHOLE

P = ParamSpec("P")
R = TypeVar("R")

REFERENCES = "ml_platform_references"
WORKSPACE = "ml_platform_workspace"


class WorkspaceResource(dg.ConfigurableResource[Any]):
    """The services that the settings name (environment variables ``ML_PLATFORM_…``)."""

    def open(self) -> Workspace:
        """One workspace per process."""
        return _workspace()


@lru_cache(maxsize=1)
def _workspace() -> Workspace:
    return Workspace()


def workspace_of(context: Any) -> Workspace:
    """The workspace of a step."""
    return context.resources.original_resource_dict[WORKSPACE].open()


@contextmanager
def _plainly() -> Generator[None]:
    try:
        with waiting(get_settings().patience_seconds):
            yield
    except PlatformError as error:
        # Without its cause: the run page would show the stack of a refusal as if the platform had crashed.
        raise dg.Failure(str(error), {"error": type(error).__name__}, allow_retries=False) from None
    except Exception as error:
        if (told := explained(error)) is None:
            raise
        raise dg.Failure(str(told), {"error": type(error).__name__}, allow_retries=False) from None


def plainly(step: Callable[P, R]) -> Callable[P, R]:
    """A step that says what its user can act on (a refusal, a missing reference) in one line, and is not retried."""
    if inspect.isgeneratorfunction(step):

        @wraps(step)
        def generate(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
            with _plainly():
                yield from step(*args, **kwargs)

        return generate  # pyright: ignore[reportReturnType]

    @wraps(step)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _plainly():
            return step(*args, **kwargs)

    return call


def partitions_of(spec: DatasetSpec) -> dg.PartitionsDefinition:
    """Dagster's form of declared partitions, with the same keys; without time there is one."""
    if not spec.partitions.timed:
        return dg.StaticPartitionsDefinition([WHOLE])
    declared = spec.partitions
    start, end = declared.key(declared.start), declared.key(declared.end) if declared.end else None
    if declared.hourly:
        return dg.HourlyPartitionsDefinition(start_date=start, end_date=end, timezone="UTC", fmt="%Y-%m-%dT%H")
    if declared.every == "week":
        # Weeks begin on the weekday of the first one; Dagster's begin on Sunday where nothing is said.
        offset = declared.start.isoweekday() % 7
        return dg.WeeklyPartitionsDefinition(start_date=start, end_date=end, day_offset=offset)
    if declared.every == "year":
        return dg.TimeWindowPartitionsDefinition(start=start, end=end, fmt="%Y-%m-%d", cron_schedule="0 0 1 1 *")
    kinds = {"day": dg.DailyPartitionsDefinition, "month": dg.MonthlyPartitionsDefinition}
    return kinds[declared.every](start_date=start, end_date=end)


def asset_options(spec: Declaration, group: str, *, kinds: set[str]) -> dict[str, Any]:
    """What every asset of a declaration has in common."""
    return {
        "group_name": group,
        "owners": list(spec.owners) or None,
        "tags": spec.tags or None,
        "kinds": kinds,
        "io_manager_key": REFERENCES,
        # Two runs of one dataset or model never overlap, however they were launched (limits in dagster.yaml).
        "pool": group,
        # A launch over a range of partitions is one run, for unpartitioned assets too.
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def check_specs(
    gates: Sequence[Gate], asset: dg.AssetKey, partitions: dg.PartitionsDefinition | None = None
) -> list[dg.AssetCheckSpec]:
    """One check per gate. Partitioned assets have partitioned checks: each month has its own verdict."""
    options: dict[str, Any] = {"partitions_def": partitions} if partitions is not None else {}
    return [
        dg.AssetCheckSpec(
            gate.name,
            asset=asset,
            blocking=gate.blocking,
            description=gate.description,
            metadata={"threshold": gate.threshold},
            **options,
        )
        for gate in gates
    ]


def gate_check(
    gates: Sequence[Gate],
    asset: dg.AssetKey,
    judge: Callable[[Any, Any], Iterator[Any]],
    *,
    partitions: dg.PartitionsDefinition | None = None,
) -> list[dg.AssetChecksDefinition]:
    """All gates of an asset as one check step; none where no gate is declared.

    ``can_subset`` stays off: with it a result that a step leaves out goes unnoticed.
    """
    if not gates:
        return []
    name = "_".join([*asset.path, "gates"])

    @dg.multi_asset_check(
        name=name,
        specs=check_specs(gates, asset, partitions),
        ins={"subject": dg.AssetIn(asset)},
        can_subset=False,
        required_resource_keys={WORKSPACE},
    )
    @plainly
    def gates_step(context: dg.AssetCheckExecutionContext, subject: Any) -> Iterator[Any]:
        yield from judge(context, subject)

    return [gates_step]


def code_version(*parts: Any) -> str:
    """Version of an asset's code: the user's modules (``module:object``) by what they do, other values as they are.

    Modules are found and read, not imported, so that loading the definitions stays fast. Raises DeclarationError where
    there is none.
    """
    try:
        seen = [
            user_code_version(part) if isinstance(part, str) and ":" in part else canonical_json(part) for part in parts
        ]
    except UnknownModule as error:
        raise DeclarationError(f"module: {error}") from error
    return sha256_bytes("\x00".join(seen))[:12]
