"""The steps of the production loop, in the order in which data flows.

Plain functions over a :class:`~ml_platform.workspace.Workspace`: the assets call them, the command line
calls them, and so can a script.
"""
