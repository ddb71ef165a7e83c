"""What everything else stands on: errors, files, settings, the project, processes, locks, the clock, user code.

Knows nothing of data, models or gates, and imports no other room.
"""
