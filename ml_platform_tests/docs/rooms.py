"""What the faces of the product's rooms say, read without an import."""

import ast

from ml_platform_tests.conftest import ROOT

PRODUCT = ROOT / "ml_platform"


def named(room: str) -> set[str]:
    """What the face of a room exports."""
    tree = ast.parse((PRODUCT / room / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()
