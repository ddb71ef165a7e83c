"""Several commands of ``ml-platform`` one after the other in one process, which loads the libraries once."""

import json
import sys
from collections.abc import Sequence

_CODE = """
import json, sys
from ml_platform.cli import app

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["ml-platform", *arguments]
    try:
        app()
    except SystemExit as end:
        if end.code:
            raise
"""


def several(*commands: Sequence[str]) -> list[str]:
    """What to start for these commands; it ends as the first that does not end with 0, or with 0."""
    return [sys.executable, "-P", "-c", _CODE, json.dumps(commands)]
