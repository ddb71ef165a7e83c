"""A model of an earlier commit predicts by the code of that commit, in a process of its own.

A candidate whose predictor was written anew is compared with a champion that answers by the one before.
"""

import json
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.models.code import PREDICTOR
from ml_platform.models.predictor import Importance, check_width
from ml_platform.references.refs import ModelRef
from ml_platform.replay.checkout import checked_out, variables

#: Where the code of a model is in no commit.
_WAY_OUT = "put back the text of its predictor as it was and commit it, or {reject}"
#: Nothing is compared with a version that a person rejected.
_REJECT = "reject its version, with which nothing is compared then (ml-platform reject {model}@VERSION)"

if TYPE_CHECKING:
    import numpy as np


class EarlierPredictor:
    """The predictor of a model as it was written at the model's commit.

    Opened when it is first asked: raises PlatformError where the commit is not there, has not the code that the model
    names (it was trained with uncommitted changes), or that code fails. Ends with the object.
    """

    def __init__(self, reference: ModelRef, file: Path, threads: int) -> None:
        self.reference, self.file, self.threads = reference, file, threads
        self.width = len(reference.features)

    def predict(self, matrix: "np.ndarray") -> "np.ndarray":
        """See :meth:`ml_platform.models.predictor.Predictor.predict`."""
        check_width(self.width, matrix)
        return self._worker.ask("predict", matrix)

    def contributions(self, matrix: "np.ndarray") -> "np.ndarray | None":
        """See :meth:`ml_platform.models.predictor.Predictor.contributions`."""
        return self._worker.ask("contributions", matrix)

    def importance(self, names: Sequence[str]) -> dict[str, Importance] | None:
        """None: it is asked of candidates only."""
        return None

    @cached_property
    def _worker(self) -> "_Worker":
        worker = _Worker(self.reference, self.file, self.threads)
        weakref.finalize(self, worker.close)
        return worker


class _Worker:
    def __init__(self, reference: ModelRef, file: Path, threads: int) -> None:
        commit = reference.provenance.code_commit
        self._what = f"{reference.model} ({reference.sha256[:12]}) by the code of commit {commit[:12]}"
        with ExitStack() as opened:
            self._folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="earlier-")))
            model = f"{reference.model} ({reference.sha256[:12]})"
            about = f"{model}, which a candidate with an edited predictor is compared with"
            self._reject = _REJECT.format(model=reference.model)
            way_out = _WAY_OUT.format(reject=self._reject)
            code = opened.enter_context(checked_out(commit, self._folder / "code", about, way_out))
            request = {
                "task": reference.task,
                "format": reference.format,
                "file": str(file),
                "threads": threads,
                "types": list(reference.types),
                "code": reference.code[PREDICTOR],
            }
            script = str(Path(__file__).with_name("earlier_worker.py"))
            self._log = opened.enter_context((self._folder / "log").open("w+"))
            process = subprocess.Popen(
                [sys.executable, "-P", script, json.dumps(request)],
                cwd=code,
                env=variables(code, self._folder / "local"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
            opened.callback(_ended, process)
            self._process = process
            self._read()
            self._opened = opened.pop_all()

    def ask(self, method: str, matrix: "np.ndarray") -> Any:
        """What a method gives for a matrix; None where that is what it gives."""
        import numpy as np

        np.save(self._folder / "matrix.npy", matrix, allow_pickle=False)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{method} {self._folder}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it wrote before it ended says why
        return np.load(self._folder / "answer.npy", allow_pickle=False) if self._read() == "array" else None

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line:
            return line
        self._process.wait()
        self._log.seek(0)
        said = self._log.read().strip().splitlines()
        raise PlatformError(
            f"{self._what}: it cannot be asked ({said[-1][:300] if said else 'it ended'}); put back its code, or "
            f"{self._reject}"
        )

    def close(self) -> None:
        self._opened.close()


def _ended(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
