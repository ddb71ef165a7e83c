"""A year of the example lived before one's eyes: months arrive, users ask, what answers is compared with an ideal.

It has a project and an installation of its own and touches no other; what sensors and supervisor do there, they do by
themselves.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["chart", "outcome", "project", "world", "year"]
