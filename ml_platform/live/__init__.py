"""What happens to a model in production: rules on drift, when it is trained anew, and messages to people.

Rollouts are said in ``rollout``, and gates before a rollout in ``gates``. What alerts say, and whether each was told
already, is found in ``pipeline/alerts``; here they are only delivered, by ``messages``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["drift_rule", "messages", "performance", "retraining", "traffic"]
