"""The asset ``<model>/estimated_performance``: what to expect before outcomes come."""

from typing import Any

import dagster as dg

from ml_platform.declarations.context import ModelContext
from ml_platform.documents.server import report_url
from ml_platform.orchestration.common import WORKSPACE, asset_options, code_version, plainly, workspace_of
from ml_platform.orchestration.metadata import sentences, table
from ml_platform.pipeline import estimating

ESTIMATED = "estimated_performance"


def estimated_asset(context: ModelContext) -> Any:
    """Estimates, and how far off such estimates were where outcomes are known."""
    spec = context.model

    @dg.asset(
        key=dg.AssetKey([spec.name, ESTIMATED]),
        deps=[dg.AssetKey([spec.name, "registered_model"]), dg.AssetKey(context.feature_set.key.split("/"))],
        description=sentences(
            spec.description or f"Model {spec.name}",
            "an estimate of its performance where outcomes have not come, and how far off such estimates were before.",
        ),
        code_version=code_version(estimating.VERSION),
        required_resource_keys={WORKSPACE},
        **asset_options(spec, spec.name, kinds={"html"}),
    )
    @plainly
    def estimated(context_: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        found = estimating.estimate(workspace, context)
        path = estimating.write_page(workspace, found)
        return dg.MaterializeResult(
            metadata={
                "estimate": dg.MetadataValue.text(found.text),
                "page": dg.MetadataValue.url(report_url(workspace.settings, path)),
                "page_file": dg.MetadataValue.path(str(path)),
                "version": found.version,
                "estimates": table(found.table),
                **{f"largest_error_of_{name}": found.off[name] for name in found.metrics if name in found.off},
            },
        )

    return estimated


def estimate_job(name: str) -> Any:
    """The job ``<model>_estimate``."""
    return dg.define_asset_job(
        f"{name}_estimate",
        selection=dg.AssetSelection.assets(dg.AssetKey([name, ESTIMATED])),
        description=f"Estimate how {name} does where outcomes have not come.",
        tags={"ml_platform/model": name},
    )
