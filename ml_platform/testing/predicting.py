"""What predicts from the file of a trained model: part of the suite of trainers."""

import bz2
import gzip
import lzma
import os
import pickle
import re
import sys
import zlib
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from ml_platform.features.build import matrix
from ml_platform.foundation.errors import PlatformError
from ml_platform.models.checked import Misbehaved
from ml_platform.models.predictor import Predictor, load_predictor
from ml_platform.testing.elsewhere import ZONES, elsewhere
from ml_platform.testing.fitting import Fitting

#: Rows of a large partition.
MANY = 20_001

#: A model that is loaded in another process: its standard input is what it is given, the answers are left in a file.
_ANSWERED = """
import pickle, sys
from pathlib import Path
import numpy as np
from ml_platform.models.predictor import Predictor, load_predictor
format, file, types, x = pickle.load(sys.stdin.buffer)
np.save(sys.argv[1], load_predictor(format, Path(file), 1, types).predict(x))
"""


class PredictionContract(Fitting):
    """The tests of a predictor."""

    def test_predictions_are_finite_and_equal_for_any_number_of_threads(self) -> None:
        """float32."""
        x = matrix(self.unseen, self.names)
        one, two, every = (self.fit(threads=threads).predictor.predict(x) for threads in (1, 2, 0))
        assert one.dtype == np.float32 and len(one) == len(x) and np.isfinite(one).all()
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, every, err_msg="0 threads: all cores")

    def test_rows_with_missing_features_are_predicted_or_refused(self) -> None:
        """With a finite number, or an error that says why: never with NaN. What is given is not changed."""
        predictor = self.fit().predictor
        x = np.repeat(matrix(self.unseen, self.names)[:1], len(self.names) + 1, axis=0)
        x[np.arange(len(self.names)), np.arange(len(self.names))] = np.nan
        x[-1] = np.nan
        for row in range(len(x)):
            for given in (x[row : row + 1], x):
                before = given.copy()
                try:
                    predictor.predict(given)
                except Misbehaved:
                    raise
                except (PlatformError, ValueError):
                    pass
                assert np.array_equal(given, before, equal_nan=True), "predict changes the matrix that it is given"

    def test_a_row_with_missing_features_is_predicted_as_among_others(self) -> None:
        """Whether the data of the contract lack any or not: what is missing is not filled by what others have."""
        predictor, x = self.fit().predictor, np.nan_to_num(matrix(self.unseen, self.names))
        for column in range(x.shape[1]):
            order = np.argsort(x[:, column], kind="stable")
            one = x[order[len(order) // 2]][None].copy()
            one[0, column] = np.nan
            for row in (one, np.full_like(one, np.nan)):
                alone = _asked(predictor, row)
                for others in (x[order[:20]], x[order[-20:]]):
                    first = _asked(predictor, np.concatenate([row, others]))
                    last = _asked(predictor, np.concatenate([others, row]))
                    refused = {one is None for one in (alone, first, last)}
                    told = "a row with a missing feature is predicted alone and refused among others, or otherwise"
                    assert len(refused) == 1, told
                    if alone is not None and first is not None and last is not None:
                        told = "a row with a missing feature is predicted otherwise alone than among others"
                        assert np.array_equal(alone[0], first[0]) and np.array_equal(alone[0], last[-1]), told

    def test_an_answer_stays_as_it_was_given(self) -> None:
        """Whatever is asked after it: it is not written into again, as an output that is kept for the next would be."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)[:50]
        for name in ("predict", "contributions"):
            found = getattr(predictor, name)(x)
            if found is None:
                continue
            before = found.copy()
            for other in (x[::-1], x[: len(x) // 2], x[-1:]):
                getattr(predictor, name)(other)
                assert np.array_equal(found, before), f"what `{name}` gave changes when the next rows are asked for"

    def test_two_threads_are_answered_each_for_itself(self) -> None:
        """As requests and checks in one process are."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)
        halves = [x[: len(x) // 2][:100], x[len(x) // 2 :][:101]]
        expected = [predictor.predict(half) for half in halves]
        begin = Barrier(len(halves))

        def wrong(place: int) -> int:
            begin.wait(60)
            found = [predictor.predict(halves[place]) for _ in range(20)]
            return sum(not np.array_equal(one, expected[place]) for one in found)

        interval = sys.getswitchinterval()
        try:
            sys.setswitchinterval(1e-6)
            with ThreadPoolExecutor(len(halves)) as pool:
                counts = list(pool.map(wrong, range(len(halves))))
        finally:
            sys.setswitchinterval(interval)
        assert not any(counts), f"asked by two threads at once, {sum(counts)} of 40 answers are others than alone"

    def test_models_that_are_loaded_together_answer_each_for_itself(self) -> None:
        """As a candidate and its champion are: nothing is kept in a class or a module."""
        x = matrix(self.unseen, self.names)
        one = self.fit().predictor
        before = one.predict(x)
        other = self.fit([self.frames[1], self.frames[1]]).predictor
        theirs = other.predict(x)
        assert np.array_equal(one.predict(x), before), "a model answers otherwise since another one was loaded"
        assert np.array_equal(other.predict(x), theirs), "a model answers otherwise since another one was asked"

    def test_a_model_that_was_loaded_after_others_answers_as_alone(self) -> None:
        """In a process where there is no other: nothing of one is taken for the next."""
        x = matrix(self.unseen, self.names)
        self.fit()
        found = self.fit([self.frames[1], self.frames[1]])
        trained = found.trained
        with TemporaryDirectory() as folder:
            file, answers = Path(folder) / trained.file.name, Path(folder) / "answers.npy"
            file.write_bytes(found.content)
            given = pickle.dumps((trained.format, str(file), trained.types, x))
            done = elsewhere(_ANSWERED, given, str(answers), seed="1", zone=ZONES[0], folder=Path(folder))
            assert done.returncode == 0, done.stderr.decode().strip().splitlines()[-1]
            alone = np.load(answers)
        np.testing.assert_array_equal(found.predictor.predict(x), alone, "a model answers otherwise beside others")

    def test_a_row_is_predicted_as_among_others(self) -> None:
        """To the last bit."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)
        assert predictor.width == len(self.names)
        p = predictor.predict(x)
        for row in range(0, len(x), max(1, len(x) // 15)):
            np.testing.assert_array_equal(predictor.predict(x[row : row + 1]), p[row : row + 1])

    def test_no_row_and_many_rows_are_predicted(self) -> None:
        """As an empty partition and a large one are."""
        predictor, x = self.fit().predictor, matrix(self.unseen, self.names)
        p = predictor.predict(x)
        assert predictor.predict(x[:0]).shape == (0, *p.shape[1:]), "no rows have no predictions"
        places = np.arange(MANY) % len(x)
        found = predictor.predict(x[places])
        wrong = np.flatnonzero((found != p[places]).reshape(MANY, -1).any(axis=1))
        assert not len(wrong), f"of {MANY} rows, {len(wrong)} from the {wrong[0] + 1}th on are predicted otherwise"

    def test_how_a_matrix_lies_in_memory_changes_nothing(self) -> None:
        """By rows or columns, with gaps or backwards."""
        predictor, x = self.fit().predictor, np.ascontiguousarray(matrix(self.unseen, self.names))
        p = predictor.predict(x)
        ways = {
            "by columns": np.asfortranarray(x),
            "every second row of another": np.repeat(x, 2, axis=0)[::2],
            "every second column of another": np.repeat(x, 2, axis=1)[:, ::2],
            "backwards": x[::-1].copy()[::-1],
        }
        for name, same in ways.items():
            np.testing.assert_allclose(predictor.predict(same), p, rtol=1e-5, atol=1e-6, err_msg=f"a matrix {name}")

    def test_nothing_in_a_file_is_run(self) -> None:
        """Who may write a model's file may not run code where it is loaded: no pickle is read, and no text as code."""
        done = self.fit()
        with TemporaryDirectory() as folder:
            file, mark = Path(folder) / done.trained.file.name, Path(folder) / "run"
            for content in _harmful(done.content, str(mark)):
                file.write_bytes(content)
                with suppress(Exception):
                    load_predictor(done.trained.format, file, types=done.trained.types)
                assert not mark.exists(), "`load` runs code that lies in the file, such as a pickle; keep numbers in it"

    def test_a_type_that_was_not_recorded_is_not_loaded(self) -> None:
        """Where the file has one beyond those of its format."""
        done = self.fit()
        if done.trained.types:
            with TemporaryDirectory() as folder:
                file = Path(folder) / done.trained.file.name
                file.write_bytes(done.content)
                with pytest.raises(PlatformError):
                    load_predictor(done.trained.format, file)


def _asked(predictor: Predictor, x: np.ndarray) -> np.ndarray | None:
    """Predictions, copied; None: the rows are refused."""
    try:
        return predictor.predict(x).copy()
    except Misbehaved:
        raise
    except (PlatformError, ValueError):
        return None


class _Run:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


def _harmful(content: bytes, mark: str) -> Iterator[bytes]:
    """Files that make a folder where what is in them is run."""
    pickled = pickle.dumps(_Run(mark))
    yield pickled
    for pack in (zlib.compress, gzip.compress, bz2.compress, lzma.compress, b64encode):
        yield pack(pickled)
    yield f"__import__('os').mkdir({mark!r})".encode()
    yield f"!!python/object/apply:os.mkdir [{mark!r}]".encode()
    # Where a pickle stands behind a head of its own, another one stands there.
    for found in islice(re.finditer(rb"\x80[\x02-\x05][\x95}\]c(]", content), 20):
        yield content[: found.start()] + pickled
