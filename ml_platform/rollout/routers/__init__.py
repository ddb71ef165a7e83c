"""How requests at a model's address reach the processes of its versions: Envoy, or a small forwarder without it.

The supervisor runs one process for all models, which reads what to do from files and goes on without a supervisor.
"""

# pyright: reportUnsupportedDunderAll=false
__all__ = ["factory", "keeper", "router"]
