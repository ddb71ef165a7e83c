"""What happens to a model in production: rules on drift, and when it is trained anew.

Rollouts are said in ``rollout``, and gates before a rollout in ``gates``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["retraining", "rules"]
