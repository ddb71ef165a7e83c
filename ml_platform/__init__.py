"""An asset-based ML data platform on Dagster.

The components are loaded when they are first asked for, so that importing a domain module loads no
Dagster.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_platform.orchestration.components import Dataset, FeatureSet, Model, Platform
    from ml_platform.orchestration.refusals import crash_sensor

# Nobody is told what runs here, wherever the package is imported, unless the environment says otherwise.
for _name, _off in (
    ("BENTOML_DO_NOT_TRACK", "true"),
    ("DAGSTER_DISABLE_TELEMETRY", "yes"),
    ("DO_NOT_TRACK", "1"),
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    # What runs say is said by the platform: the address of a run stands in the metadata of its model.
    ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
):
    os.environ.setdefault(_name, _off)

__all__ = ["Dataset", "FeatureSet", "Model", "Platform", "crash_sensor"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ml_platform.orchestration import components, refusals

        return getattr(refusals if name == "crash_sensor" else components, name)
    raise AttributeError(f"module 'ml_platform' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
