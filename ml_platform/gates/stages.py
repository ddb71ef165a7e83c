"""The stages of the loop at which content is judged: the one list of them."""

from typing import Literal, get_args

Stage = Literal[
    "batch", "dataset", "features", "split", "evaluation", "refit", "service", "deployment", "shadow", "scores"
]

#: Verdicts that are given without a declared gate: what a person took back, and how scores are distributed.
ROLLBACK, SCORES_DISTRIBUTION = "rollback", "scores_distribution"

#: Every stage, in the order in which data flows. ``dataset`` has no gates, only decisions to take content back; gates
#: of ``shadow`` are asked by the supervisor in the midst of a rollout; ``scores`` are held to the rule on predictions
#: of the rollout.
STAGES: tuple[Stage, ...] = get_args(Stage)
#: Stages whose gates a dataset, a feature set and a model declare.
OF_DATASET: tuple[Stage, ...] = ("batch",)
OF_FEATURES: tuple[Stage, ...] = ("features",)
OF_MODEL: tuple[Stage, ...] = ("split", "evaluation", "refit", "service", "deployment", "shadow")
#: Stages that have gates.
GATED: tuple[Stage, ...] = (*OF_DATASET, *OF_FEATURES, *OF_MODEL)
