"""Tests; the folders mirror those of ``ml_platform``."""
