"""The steps of the loop over a workspace: ingest, audit, publish, featurize, split, fit, evaluate, register, package,
deploy.

Dagster, the command line, trials, replays and proofs drive the same steps; none of them is known here.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "alerts",
    "anchors",
    "answering",
    "approval",
    "backup",
    "candidate",
    "cards",
    "champions",
    "data",
    "drift",
    "estimating",
    "evaluation",
    "features",
    "hand",
    "inspections",
    "lineage",
    "loosening",
    "measured",
    "merge_hook",
    "model",
    "packaged",
    "pending",
    "performance",
    "predictions",
    "prune",
    "published",
    "release",
    "replaying",
    "requests",
    "retraining",
    "rollback",
    "rollout",
    "scores",
    "snapshot",
    "steps",
    "trained",
    "trial",
    "why",
    "workspace",
]
