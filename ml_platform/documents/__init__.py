"""What people look at: model cards, evaluation reports with their plots, the drift report, and the server of reports.

Nothing is measured here, and nothing is decided.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "annex_iv",
    "attestation",
    "bill_of_materials",
    "detection",
    "dossier",
    "drift_report",
    "estimates",
    "exposition",
    "live",
    "model_card",
    "plots",
    "report",
    "server",
    "traffic",
]
