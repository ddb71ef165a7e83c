"""The versioned store on a lakeFS server, and the webhook that such a server asks before a merge.

It is opened by ``datasets.factory`` and used through the protocol in ``datasets.store``; hosts no server itself.
"""

# The modules are imported where they are used: some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["hook", "store"]
