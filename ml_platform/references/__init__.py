"""References: the only values that pass between assets, and where the latest ones are kept.

They name content by hash and location; reading that content is for the rooms above.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["factory", "references", "refs"]
