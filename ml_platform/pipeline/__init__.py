"""The steps of the loop over a workspace: ingest, audit, publish, featurize, split, fit, evaluate, register, package,
deploy.

Dagster, the command line, trials, replays and proofs drive the same steps; none of them is known here.

The modules of the steps are ``data``, ``training``, ``evaluation``, ``refit``, ``registration``, ``release`` and
``rollout``; ``recorded_derivations``, ``recorded_trainings``, ``recorded_evaluations`` and ``recorded_packages``
say what was made here, by the ledger.
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
    "data",
    "drift",
    "estimating",
    "evaluation",
    "inspections",
    "lineage",
    "logged_predictions",
    "loosening",
    "materializer",
    "merge_hook",
    "performance",
    "prune",
    "published_verdicts",
    "recorded_derivations",
    "recorded_evaluations",
    "recorded_packages",
    "recorded_trainings",
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
    "training",
    "trial",
    "why",
    "workspace",
]
