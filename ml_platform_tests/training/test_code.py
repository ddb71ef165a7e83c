"""What code a training's key stands for: of a trainer of one's own all that it does, of the platform's its number."""

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from ml_platform.foundation.user_code import user_code_version
from ml_platform.training.code import code_versions
from ml_platform.training.trainer import trainer_of

TRAINER = """
from pydantic import BaseModel
from bakery.rates import rate

class Parameters(BaseModel, extra="forbid", frozen=True):
    pass

class Own:
    version, equal_versions, libraries, Parameters = 1, ("1",), ("numpy",), Parameters

    def check(self, parameters, task): ...

    def rounds(self, parameters): ...

    def limited(self, parameters, rounds):
        return parameters

    def train(self, frames, names, target, task, parameters, work, threads):
        return rate()
"""
RATES = "def rate():\n    return 0.1\n"
OWN = "bakery.own:Own"

Written = Callable[..., tuple[str, ...]]


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Versions of a trainer of one's own, whose module and helper are as given."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "bakery").mkdir()

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "bakery"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def written(own: str = TRAINER, rates: str = RATES, changed: str = "") -> tuple[str, ...]:
        for name, text in (("__init__", ""), ("own", own), ("rates", rates)):
            (tmp_path / "bakery" / f"{name}.py").write_text(text)
        forget()
        return code_versions(OWN, trainer_of(OWN), changed)

    yield written
    forget()


def test_code_of_a_trainer_of_ones_own_is_part_of_its_version(versions: Written) -> None:
    first = versions()
    assert first == (f"1.{user_code_version(OWN)}-numpy-{version('numpy')}",)
    assert versions(own=TRAINER.replace("return rate()", "return rate() * 0.2")) != first
    assert versions(rates=RATES.replace("0.1", "0.02")) != first, "a helper that it imports counts"
    assert versions(own=TRAINER + "\n# a comment\n", rates=f'"""Rates."""\n{RATES}') == first
    assert versions() == first, "what is taken back is found again"


def test_what_was_trained_before_the_code_counted_is_not_adopted(versions: Written) -> None:
    """Not under the number alone, nor as one of `equal_versions`: nobody knows by which code it was trained."""
    assert not {one for one in versions() if one.startswith("1-")}


def test_a_changed_training_of_ones_own_has_its_code_too(versions: Written) -> None:
    (sound,), (broken,) = versions(), versions(changed="half")
    assert sound != broken and "half" in broken
    assert versions(rates=RATES.replace("0.1", "0.02"), changed="half") != (broken,)


@pytest.mark.parametrize(
    ("name", "number", "before"),
    [
        ("xgboost", "1", ["cc3080f55ea395fb"]),  # pragma: allowlist secret
        ("sklearn", trainer_of("sklearn").version, []),
    ],
)
def test_the_platforms_trainers_are_known_by_their_number(name: str, number: object, before: list[str]) -> None:
    """However they are declared: their models are found again."""
    trainer = trainer_of(name)
    libraries = "-".join(f"{one}-{version(one)}" for one in trainer.libraries)
    expected = tuple(f"{code}-{libraries}" for code in (str(number), *before))
    path = f"{type(trainer).__module__}:{type(trainer).__name__}"
    assert code_versions(name, trainer) == code_versions(path, trainer) == expected
