"""What a trainer of one's own gives is looked at before anything is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.models.checked import Misbehaved
from ml_platform.models.task import task_of
from ml_platform.training.trainer import Trained, require_limits, rounds_of, train, trainer_of
from ml_platform_tests.extending.nearest import Nearest
from ml_platform_tests.extending.nearest_trainer import NearestTrainer, Parameters
from ml_platform_tests.training.synthetic import NAMES, month_frame

FORMAT = "ml_platform_tests.extending.nearest:Nearest"


class Odd(NearestTrainer):
    """Trains, and gives something else."""

    change: ClassVar[Any] = staticmethod(lambda trained: trained)

    def train(self, *arguments: Any, **_: Any) -> Any:
        """What the test makes of the result."""
        return self.change(super().train(*arguments))


class Half:
    """A trainer without the rest."""

    Parameters = Parameters


class Loose(NearestTrainer):
    """Its parameters are no model."""

    Parameters: Any = dict


def elsewhere(found: Trained) -> Trained:
    """The model beside the folder that it belongs in."""
    return found._replace(file=found.file.rename(found.file.parent.parent / found.file.name))


def trained(tmp_path: Path, change: Any) -> Trained:
    one: Any = Odd()
    one.change = change
    parameters: BaseModel = Parameters(kept=50)
    return train(one, lambda: iter([month_frame(1)]), NAMES, "late", task_of("binary"), parameters, tmp_path, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: None, r"train gave NoneType None; expected ml_platform.training.trainer.Trained"),
        (lambda found: tuple(found), r"train gave tuple \(PosixPath.*; expected ml_platform.training.trainer.Trained"),
        (lambda found: found._replace(file=str(found.file)), "as file; expected a pathlib.Path"),
        (lambda found: found._replace(file=found.file.with_name("none")), "none as file, which is not there"),
        (
            lambda found: found._replace(rows=np.arange(3)),
            "train gave int64 .3,. as rows; expected a number",
        ),
        (lambda found: found._replace(rows=0), "train gave int 0 as rows; expected a number of rows"),
        (lambda found: found._replace(dropped=0.5), "train gave float 0.5 as dropped"),
        (lambda found: found._replace(format=None), "train gave NoneType None as format; expected ubj, skops"),
        (lambda found: found._replace(types=["a"]), r"train gave list \['a'\] as types"),
        (elsewhere, "as file, which is not in `work`; write the model to "),
        (
            lambda found: found._replace(format=f"{__name__}:Nothing"),
            f"train gave a model of the format '{__name__}:Nothing', which names its predictor: module .* has no obj",
        ),
        (lambda found: found._replace(format=f"{__name__}:Half"), "Half', which names its predictor: .* lacks contri"),
    ],
)
def test_what_is_no_trained_model_is_named(tmp_path: Path, change: Any, message: str) -> None:
    (work := tmp_path / "work").mkdir()
    with pytest.raises(Misbehaved, match=rf"^trainer {__name__}:Odd: .*{message}"):
        trained(work, change)


class Broken(Nearest):
    """A predictor that cannot read what was written."""

    @classmethod
    def load(cls, file: Path, threads: int = 1, types: Sequence[str] = ()) -> Any:
        raise KeyError("weight")


def test_a_model_that_its_predictor_cannot_read_is_mended_in_the_code(tmp_path: Path) -> None:
    """Training it again gives the same file."""
    message = (
        f"cannot be loaded by {__name__}:Broken: KeyError: 'weight' .*; correct what wrote it .{__name__}:Odd. or "
    )
    with pytest.raises(PlatformError, match=message):
        trained(tmp_path, lambda found: found._replace(format=f"{__name__}:Broken"))


def test_a_trained_model_passes(tmp_path: Path) -> None:
    assert trained(tmp_path, lambda found: found).format == FORMAT


def test_a_model_that_does_not_fit_its_features_is_named(tmp_path: Path) -> None:
    def narrower(found: Trained) -> Trained:
        import numpy as np

        np.save(found.file, np.load(found.file)[:, 1:], allow_pickle=False)
        return found

    with pytest.raises(Misbehaved, match=f"predictor {FORMAT}: width is int 3 after a training on 4 features"):
        trained(tmp_path, narrower)


def test_what_a_class_lacks_is_named() -> None:
    with pytest.raises(DeclarationError, match=f"trainer: {__name__}:Half lacks check, equal_versions, libraries"):
        trainer_of(f"{__name__}:Half")
    with pytest.raises(DeclarationError, match="Parameters is type <class 'dict'>; expected a pydantic model"):
        trainer_of(f"{__name__}:Loose")
    with pytest.raises(DeclarationError, match="expected a class"):
        trainer_of(f"{__name__}:FORMAT")


class Counted(Parameters):
    """Parameters with rounds, and one that is none."""

    rounds: int = 20
    depth: int = 6
    more: dict[str, int] = {}  # noqa: RUF012


class Rounds(NearestTrainer):
    """Counts rounds, and limits them."""

    Parameters: Any = Counted

    def rounds(self, parameters: Any) -> Any:
        return parameters.rounds

    def limited(self, parameters: Any, rounds: int) -> Any:
        return parameters.model_copy(update={"rounds": min(rounds, parameters.rounds)})


def to(**update: Any) -> Any:
    """A limit that changes something else, too."""
    return lambda self, given, rounds: Rounds.limited(self, given, rounds).model_copy(update=update)


def in_place(self: Any, given: Any, rounds: int) -> Any:
    given.__dict__["rounds"] = min(given.rounds, rounds)
    return given.model_copy()


#: What is wrong with a method, and what is said of it.
WRONG: dict[str, tuple[str, Any, str]] = {
    "rounds raise": ("rounds", lambda self, given: given.rounds / 0, "rounds raises ZeroDivisionError: division by"),
    "rounds of text": ("rounds", lambda self, given: "20", "rounds gave str '20'; expected None, or a whole number"),
    "no rounds": ("rounds", lambda self, given: 0, "rounds gave int 0; expected None, or a whole number of 1 or more"),
    "limited raises": ("limited", lambda self, given, rounds: given["rounds"], "limited to 1 raises TypeError: "),
    "nothing": ("limited", lambda self, given, rounds: None, rf"limited to 1 gave NoneType None; expected {__name__}:"),
    "another type": ("limited", lambda self, given, rounds: Parameters(), "limited to 1 gave Parameters "),
    "not limited": ("limited", lambda self, given, rounds: given, "gave parameters of 20 rounds, from 20; expected 1"),
    "more of few": (
        "limited",
        lambda self, given, rounds: given.model_copy(update={"rounds": rounds}),
        "limited to 21 gave parameters of 21 rounds, from 20; expected 20",
    ),
    "another depth": ("limited", to(depth=3), "limited to 1 changed depth too; change nothing but the number"),
    "fewer rows": ("limited", to(kept=10, more={"a": 70}), "limited to 1 changed kept, more.a too"),
    "in place": ("limited", in_place, "limited to 1 changed the parameters that it was given; return a copy"),
}  # fmt: skip


@pytest.mark.parametrize("case", [*WRONG])
def test_rounds_that_cannot_be_limited_are_named(case: str) -> None:
    method, change, message = WRONG[case]
    trainer: Any = type("Wrong", (Rounds,), {method: change})()
    with pytest.raises(Misbehaved, match=rf"^trainer {__name__}:Wrong: .*{message}"):
        require_limits(trainer, Counted())


def test_rounds_may_be_limited_in_more_than_one_place_or_where_they_are_not_said() -> None:
    def both(self: Any, given: Any, rounds: int) -> Any:
        found = Rounds.limited(self, given, rounds)
        return found.model_copy(update={"more": {"patience": 1}} if found.rounds < given.rounds else {})

    sound: list[Any] = [type("Both", (Rounds,), {"limited": both})(), Rounds(), NearestTrainer()]
    for trainer, parameters in zip(sound, (Counted(), Counted(rounds=1), Parameters()), strict=True):
        require_limits(trainer, parameters)


def test_an_estimator_whose_iterations_nothing_limits_counts_none() -> None:
    trainer = trainer_of("sklearn")
    for arguments, rounds in (({}, None), ({"max_iter": 500}, 500)):
        found = trainer.Parameters.model_validate({"estimator": "sklearn.svm:SVR", "arguments": arguments})
        require_limits(trainer, found)
        assert rounds_of(trainer, found) == rounds
