"""Proof that gates fire: breaks of a user's own data, features, training and service, and what notices each.

Breaks go through ports and steps of a workspace of their own; nothing of the project is touched.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = [
    "arrivals",
    "builds",
    "doses",
    "findings",
    "first",
    "journal",
    "limits",
    "power",
    "proof",
    "prove",
    "rollouts",
    "scratch",
    "serving",
    "suggest",
    "users",
    "windows",
]
