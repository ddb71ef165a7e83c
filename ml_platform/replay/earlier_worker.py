"""The part of an earlier predictor that runs in a fresh process on the code of its commit.

Started by its path as ``python -P earlier_worker.py REQUEST``; a line ``METHOD FOLDER`` on standard input asks for a
method's answer to ``matrix.npy`` there, written as ``answer.npy``.
"""

import json
import os
import sys
from pathlib import Path


def main(request_text: str) -> None:
    """Answer until the input ends."""
    # What the model's code prints must not pass for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import numpy as np

    from ml_platform.models import code
    from ml_platform.models.predictor import load_predictor

    request = json.loads(request_text)
    found = code.code_of(request["task"], request["format"]).get("predictor")
    # A release that the commit may have named no class, and had nothing to compare by.
    same = getattr(code, "same", lambda written, now: written.partition(":")[0] == now)
    if not same(request["code"], found):
        sys.exit(f"the commit has predictor {found}, the model was trained with {request['code']}, uncommitted")
    predictor = load_predictor(request["format"], Path(request["file"]), request["threads"], request["types"])
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        method, _, place = line.strip().partition(" ")
        folder = Path(place)
        found = getattr(predictor, method)(np.load(folder / "matrix.npy", allow_pickle=False))
        if found is not None:
            np.save(folder / "answer.npy", found, allow_pickle=False)
        print("none" if found is None else "array", file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
