"""Between assets pass references: Dagster hands them on through the port of the workspace."""

from typing import Any

import dagster as dg

from ml_platform.foundation.patience import waiting
from ml_platform.orchestration.common import WorkspaceResource


class ReferenceIOManager(dg.IOManager):
    """Hands references on. A partitioned input is always a dict; partitions without a reference are left
    to the step, which knows whether they were refused or are missing."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Save one reference, or one for each partition."""
        workspace, asset = WorkspaceResource().open(), context.asset_key.to_user_string()
        with waiting(workspace.settings.patience_seconds):
            for partition, ref in obj.items() if context.has_asset_partitions else [("", obj)]:
                workspace.references.save(asset, partition, ref)

    def load_input(self, context: dg.InputContext) -> Any:
        """Load one reference, or a dict by partition."""
        workspace, asset = WorkspaceResource().open(), context.asset_key.to_user_string()
        run_id = context.step_context.run_id
        with waiting(workspace.settings.patience_seconds):
            references = workspace.references
            if not context.has_asset_partitions:
                return references.load(asset, "", run_id)
            known = set(references.partitions(asset))
            return {
                partition: references.load(asset, partition, run_id)
                for partition in context.asset_partition_keys
                if partition in known
            }
