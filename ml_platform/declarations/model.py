"""Models as they are declared."""

from typing import Literal

from pydantic import Field, model_validator

from ml_platform.declarations.declaration import NAME, Declaration
from ml_platform.evaluation.options import WorstCase
from ml_platform.gates.stages import OF_MODEL, Stage
from ml_platform.live.rules import DriftRule
from ml_platform.training.parameters import TrainingParameters
from ml_platform.training.split import SplitRule


class ModelSpec(Declaration):
    """A model: features, target, split, parameters and the gates from split to deployment."""

    name: str = Field(pattern=NAME)
    #: Feature set, ``dataset/name``.
    features: str
    #: Label column of the feature function.
    target: str
    task: Literal["binary", "multiclass", "regression"]
    #: Values of a multiclass target, in the order in which their probabilities are given.
    classes: tuple[str, ...] = ()
    split: SplitRule
    parameters: TrainingParameters = TrainingParameters()
    #: Newest published partitions on which ``ml-platform check --branch`` trains; ``None``: all.
    check_partitions: int | None = Field(default=None, ge=2)
    #: Probability from which on a row counts as positive.
    decision_threshold: float | None = Field(None, gt=0, lt=1)
    #: What the model is for and where it must not be used, for the model card.
    purpose: str = ""
    limits: str = ""
    #: Whether new partitions lead to a training by themselves.
    retrain_on_new_data: bool = True
    #: How far features may move in the search for the worst case.
    worst_case: WorstCase | None = None
    #: What drift of the newest partitions' inputs leads to.
    drift: DriftRule | None = None
    _stages: tuple[Stage, ...] = OF_MODEL

    @model_validator(mode="after")
    def _threshold_given(self) -> "ModelSpec":
        if self.task == "binary" and self.decision_threshold is None:
            raise ValueError("decision_threshold: a binary model has to declare it")
        if self.task == "multiclass" and self.decision_threshold is not None:
            raise ValueError("decision_threshold: a multiclass model decides for the most probable class; remove it")
        return self

    @model_validator(mode="after")
    def _classes_given(self) -> "ModelSpec":
        if self.task != "multiclass" and self.classes:
            raise ValueError(f"classes: a {self.task} model has none; use task: multiclass")
        if self.task == "multiclass" and (len(self.classes) < 3 or len(set(self.classes)) < len(self.classes)):
            raise ValueError("classes: a multiclass model has to declare three or more different values of its target")
        return self
