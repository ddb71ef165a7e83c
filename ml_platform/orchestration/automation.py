"""The job by which people pause, resume, train and skip from Dagster's page."""

from enum import Enum

import dagster as dg

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.orchestration.common import WORKSPACE, plainly, workspace_of
from ml_platform.pipeline.automation import EVERYTHING, act


class Wish(Enum):
    """What is wanted."""

    pause = "pause"
    resume = "resume"
    train = "train"
    skip = "skip"


class HandConfig(dg.Config):
    """Who wants what of which dataset or model, and why; kept in the ledger."""

    action: Wish
    by: str
    reason: str
    #: Dataset or model; a model, to train or skip.
    name: str = EVERYTHING


def hand_jobs(catalogue: Catalogue) -> list[dg.JobDefinition]:
    """The job ``hand``, where anything is declared."""

    @dg.op(name="lay_a_hand_on", required_resource_keys={WORKSPACE})
    @plainly
    def step(context: dg.OpExecutionContext, config: HandConfig) -> None:
        action = config.action.value
        said = act(workspace_of(context), catalogue, action, config.name, by=config.by, reason=config.reason)
        context.log.info(said)

    @dg.job(
        name="hand",
        description="Pause or resume datasets and models, train one now, or skip a training, as `ml-platform pause`, "
        "`resume`, `train` and `skip` do.",
    )
    def job() -> None:
        step()

    return [job] if catalogue.datasets else []
