"""The code of a task and a predictor is part of a model where it is a user's own."""

from pathlib import Path

import pytest

from ml_platform.models.code import code_of, identity, same
from ml_platform.models.regression import Regression
from ml_platform.models.task import TASKS

OWN_TASK, OWN_FORMAT = "ml_platform_tests.extending.quantile:Quantile", "ml_platform_tests.extending.nearest:Nearest"


def test_what_the_platform_always_had_is_known_by_its_file_alone() -> None:
    for task in TASKS:
        for format in ("ubj", "skops"):
            assert code_of(task, format) == {} and identity("a" * 64, {}) == "a" * 64


def test_own_code_is_part_of_it() -> None:
    found = code_of(OWN_TASK, OWN_FORMAT)
    assert set(found) == {"task", "predictor"} and all(version.startswith("1.") for version in found.values())
    assert len({identity("a" * 64, code) for code in ({}, found, {**found, "task": "1.other"})}) == 3


def test_two_classes_of_one_module_are_two_predictors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By equal files they answer otherwise."""
    (tmp_path / "answering_twice.py").write_text("class Rate: ...\n\n\nclass Shifted(Rate): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    one, other = (code_of("regression", f"answering_twice:{name}") for name in ("Rate", "Shifted"))
    assert identity("a" * 64, one) != identity("a" * 64, other)


def test_a_version_of_an_earlier_release_named_the_module_alone() -> None:
    now = code_of(OWN_TASK, OWN_FORMAT)["predictor"]
    module, _, name = now.partition(":")
    assert name == "Nearest" and same(now, now) and same(module, now)
    assert not same(now, module) and not same(f"{module}0", now) and not same(None, now) and not same(now, None)


def test_a_later_number_of_the_platforms_counts_for_who_inherits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_of(OWN_TASK, "ubj")["task"]
    monkeypatch.setattr(Regression, "version", 2, raising=False)
    assert code_of("regression", "ubj") == {"task": "2"}
    assert code_of(OWN_TASK, "ubj")["task"] == before.replace("1.", "2.", 1)
