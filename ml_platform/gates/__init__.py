"""Named thresholds on evidence: every kind of gate, and the verdicts that they give.

Recording a verdict, and asking whether it allows a step, is the business of ``ledger``.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "asked",
    "batch",
    "changes",
    "deployment",
    "every_kind",
    "features",
    "gate",
    "replay",
    "service",
    "shadow",
    "stages",
    "verdict",
]
