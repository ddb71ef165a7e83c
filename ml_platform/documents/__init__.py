"""What people look at: model cards, evaluation reports with their plots, the drift report, and the server of reports.

Nothing is measured here, and nothing is decided.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["detection", "drift_report", "estimates", "live", "model_card", "report", "server"]
