"""A table of a stranger's made into declarations and code that a colleague could have written: profile, write, try.

Nothing of it runs later: what is written is the user's own from then on, and no other room reads it differently.
"""

# Modules that other rooms may use; they are imported where they are used, since some load heavy libraries.
# pyright: reportUnsupportedDunderAll=false
__all__ = ["create", "home", "plan", "roles"]
