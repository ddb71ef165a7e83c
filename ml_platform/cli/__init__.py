"""The command ``ml-platform``."""

from ml_platform.cli.app import app

__all__ = ["app"]
