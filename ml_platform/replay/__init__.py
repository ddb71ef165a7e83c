"""A model made again from its manifest, code commit, lock and seed, in a clean folder and a fresh process.

The worker runs on the code of the replayed commit; ``worker_1`` on releases with another layout.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["earlier", "replay"]
