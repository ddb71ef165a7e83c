"""The steps of the loop over a workspace: ingest, audit, publish, featurize, split, fit, evaluate, register, package,
deploy.

Dagster, the command line, trials, replays and proofs drive the same steps; none of them is known here.

Modules by what they are about; those that are not in ``__all__`` are used by the others only:

- data: ``data``, ``materializer``, ``published``, ``published_verdicts``, ``provisional``, ``earlier_columns``,
  ``merge_hook``, ``rollback``.
- a model: ``training``, ``current_splits``, ``mlflow_training``, ``evaluation``, ``refit``, ``refit_verdicts``,
  ``predictors``, ``expecting``, ``candidate``.
- a version: ``registration``, ``approval``, ``decisions``, ``declared``, ``loosening``, ``champions``, ``cards``.
- a service: ``release``, ``rollout``, ``shadow_verdicts``, ``snapshot``, ``known_texts``, ``answering``.
- production: ``logged_predictions``, ``labels``, ``labelled_predictions``, ``performance``, ``live_drift``, ``drift``,
  ``estimating``, ``scores``, ``table_scores``.
- what is to be done: ``backlog``, ``retraining``, ``automation``, ``alerts`` (their texts; ``live`` delivers them).
- judging: ``judging`` alone judges and records, ``inspections`` says who judges which stage.
- what was made here, by the ledger: ``recorded_derivations``, ``recorded_trainings``, ``recorded_evaluations``,
  ``recorded_versions``, ``recorded_packages``, and ``anchors`` of it.
- questions: ``why``, ``lineage``, ``requests``, ``evidence``, ``replay``.
- the whole: ``workspace``, ``steps`` (those that somebody may exchange), ``trial``, ``backup``, ``prune``.
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
