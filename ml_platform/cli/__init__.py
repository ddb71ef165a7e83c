"""The command ``ml-platform``: each command with its options and what it prints.

What a command does is said in ``pipeline`` and below.
"""

from ml_platform.cli.app import app

__all__ = ["app"]
