"""What a trainer of one's own gives is looked at before anything is kept."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from ml_platform.foundation.errors import DeclarationError
from ml_platform.models.checked import Misbehaved
from ml_platform.models.task import task_of
from ml_platform.training.trainer import Trained, train, trainer_of
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
        (lambda found: found._replace(rows=0), "train gave int 0 as rows; expected a number of rows"),
        (lambda found: found._replace(dropped=0.5), "train gave float 0.5 as dropped"),
        (lambda found: found._replace(format=None), "train gave NoneType None as format; expected ubj, skops"),
        (lambda found: found._replace(types=["a"]), r"train gave list \['a'\] as types"),
    ],
)
def test_what_is_no_trained_model_is_named(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(Misbehaved, match=rf"^trainer {__name__}:Odd: .*{message}"):
        trained(tmp_path, change)


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
