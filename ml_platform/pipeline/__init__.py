"""The steps of the loop over a workspace: ingest, audit, publish, featurize, split, fit, evaluate, register, package,
deploy.

Dagster, the command line, trials, replays and proofs drive the same steps; none of them is known here.

The modules of the steps are ``data``, ``training``, ``evaluation``, ``refit``, ``registration``, ``release`` and
``rollout``; ``recorded_derivations``, ``recorded_trainings``, ``recorded_evaluations``,
``recorded_versions`` and ``recorded_packages`` say what was made here, by the ledger.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "alerts",
    "anchors",
    "answering",
    "approval",
    "automation",
    "backlog",
    "backup",
    "candidate",
    "cards",
    "champions",
    "current_splits",
    "data",
    "drift",
    "estimating",
    "evaluation",
    "evidence",
    "going_live",
    "inspections",
    "lineage",
    "live_drift",
    "logged_predictions",
    "loosening",
    "materializer",
    "merge_hook",
    "performance",
    "prune",
    "published",
    "published_verdicts",
    "recorded_derivations",
    "recorded_evaluations",
    "recorded_packages",
    "recorded_trainings",
    "recorded_versions",
    "refit",
    "registration",
    "release",
    "replay",
    "requests",
    "retraining",
    "rollback",
    "rollout",
    "scores",
    "snapshot",
    "steps",
    "table_scores",
    "training",
    "trial",
    "why",
    "workspace",
]
