"""The ledger: the append-only record of verdicts and decisions, and the question whether they allow a step.

It knows no store and no registry: what they noted of its head is handed in (:mod:`ml_platform.ledger.verified`).
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["chain", "itself", "kinds", "ledger", "signing", "verified"]
