"""The versioned store on one machine, in Git and content-addressed files; DVC reads it.

It is opened by ``datasets.factory`` and used through the protocol in ``datasets.store``, not by its parts.
"""

# The modules are imported where they are used: some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["store"]
