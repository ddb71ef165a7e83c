"""Models as they are declared."""

from collections.abc import Generator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from ml_platform.declarations.declaration import NAME, Declaration
from ml_platform.evaluation.options import WorstCase
from ml_platform.foundation.earlier import FIRST_TRAINER
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.names import listed
from ml_platform.foundation.raised import raised
from ml_platform.gates.gate import Gate
from ml_platform.gates.stages import OF_MODEL, Stage
from ml_platform.live.drift_rule import DriftRule
from ml_platform.live.retraining import RetrainPolicy
from ml_platform.models.task import TASKS, Task, task_of
from ml_platform.rollout.record import Plan
from ml_platform.training.split import SplitRule
from ml_platform.training.trainer import TRAINERS, trainer_of


class _Nothing(BaseModel):
    """Parameters of a trainer that is not known."""


NONE = _Nothing()


class ModelSpec(Declaration):
    """A model: features, target, split, parameters and the gates from split to deployment."""

    #: Begins the keys of its assets; name of the registered model and of the service.
    name: str = Field(pattern=NAME)
    #: Feature set, ``dataset/name``.
    features: str
    #: Label column of the feature function.
    target: str
    task: str = Field(description=f"{listed(TASKS)}, or `module:Class` of a task of one's own.")
    #: Values of a multiclass target, in the order in which their probabilities are given.
    classes: tuple[str, ...] = ()
    #: What is trained on and what is held out.
    split: SplitRule
    trainer: str = Field(
        default=FIRST_TRAINER,
        description=f"{listed(TRAINERS)}, or `module:Class` of a trainer of one's own.",
    )
    #: As the trainer declares them.
    parameters: SerializeAsAny[BaseModel] = Field(default={}, validate_default=True)  # type: ignore[assignment]
    #: Newest published partitions on which ``ml-platform check --branch`` trains; ``None``: all.
    check_partitions: int | None = Field(default=None, ge=2)
    #: Prediction from which on a row counts as positive: a probability between 0 and 1, or any value of the target.
    decision_threshold: float | None = Field(None, allow_inf_nan=False)
    #: What the model is for, for the model card.
    purpose: str = ""
    #: Where it must not be used, for the model card.
    limits: str = ""
    #: Dataset with what came of predictions, by `request_id` (and `request_row`) or by the key of the feature function;
    #: empty: the dataset itself, whose published partitions have the outcomes. See `split.label_delay`.
    labels: str = ""
    #: What leads to a training by itself, and how often.
    retrain: RetrainPolicy = RetrainPolicy()
    #: How far features may move in the search for the worst case.
    worst_case: WorstCase | None = None
    #: When new partitions count as drifted; without it only their outcomes are looked at.
    drift: DriftRule | None = None
    #: How a new version takes over: processes, steps, rules that send it back.
    rollout: Plan = Plan()
    _stages: tuple[Stage, ...] = OF_MODEL

    @model_validator(mode="before")
    @classmethod
    def _earlier_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("retrain_on_new_data") is True:
            # What declarations of earlier versions say, and what is so without it.
            return {key: given for key, given in value.items() if key != "retrain_on_new_data"}
        if isinstance(value, dict) and "retrain_on_new_data" in value:
            raise ValueError("`retrain_on_new_data` is gone: write `retrain: {new_data: false}`, or nothing for true")
        return value

    @model_validator(mode="after")
    def _drift_is_declared(self) -> "ModelSpec":
        if {*self.retrain.drift} - {"outcomes"} and self.drift is None:
            raise ValueError("retrain.drift: say when inputs and outputs count as drifted, with `drift`")
        return self

    @model_validator(mode="after")
    def _refits_are_judged(self) -> "ModelSpec":
        agreeing = any(gate.stage == "refit" for gate in self.gates)
        if self.split.refit and not any(gate.gate == "agreement" for gate in self.gates):
            raise ValueError(
                "split.refit: say how far a refit may answer otherwise than the model that was judged, with the gate "
                "agreement: {gate: agreement, metric: correlation, min: …}"
            )
        if agreeing and not self.split.refit:
            raise ValueError("gates: agreement is of a refit; set `split.refit`, or remove the gate")
        return self

    @model_validator(mode="after")
    def _copies_are_made(self) -> "ModelSpec":
        if not any(gate.stage == "shadow" for gate in self.gates):
            return self
        before = [*takewhile(lambda step: not step.weight, self.rollout.steps)]
        if not before or not before[-1].shadow:
            raise ValueError(
                "gates: shadow compares answers to copies of requests; let the last step of `rollout.steps` before one "
                "with a weight make some: {shadow: 100, requests: 1000}"
            )
        return self

    def gates_of(self, stage: Stage) -> tuple[Gate, ...]:
        """The declared gates of a stage, in order; of a refit also those of the evaluation that can judge one."""
        own = super().gates_of(stage)
        if stage != "refit" or not self.split.refit:
            return own
        return (*own, *(gate.at("refit") for gate in self.gates_of("evaluation") if gate.judges_refits))

    @field_validator("task")
    @classmethod
    def _task_is_known(cls, value: str) -> str:
        with _as_mistake("task: "):
            task_of(value)
        return value

    @field_validator("decision_threshold")
    @classmethod
    def _threshold_is_a_prediction(cls, value: float | None, info: ValidationInfo) -> float | None:
        # An unknown task is a mistake that has been found already.
        if value is None or 0 < value < 1 or "task" not in info.data:
            return value
        if task_of(info.data["task"]).output == "probability":
            raise ValueError(f"{info.data['task']} models predict a probability; give a number between 0 and 1")
        return value

    @field_validator("trainer")
    @classmethod
    def _trainer_is_known(cls, value: str) -> str:
        with _as_mistake("trainer: "):
            trainer_of(value)
        return value

    @field_validator("parameters", mode="before")
    @classmethod
    def _parameters_of_the_trainer(cls, value: Any, info: ValidationInfo) -> Any:
        """The trainer says which parameters there are, so that a mistake in one is found where it stands."""
        # An unknown trainer is a mistake that has been found already.
        if "trainer" not in info.data:
            return NONE
        parameters = trainer_of(info.data["trainer"]).Parameters
        try:
            return parameters.model_validate(value)
        except (ValueError, PlatformError):
            raise
        except Exception as error:
            raise ValueError(f"{info.data['trainer']}.Parameters cannot read them: {raised(error)}") from error

    @model_validator(mode="after")
    def _task_is_complete(self) -> "ModelSpec":
        with _as_mistake(""):
            self.kind().check()
        return self

    def kind(self) -> Task:
        """The task, with its classes and threshold."""
        return task_of(self.task, self.classes, self.decision_threshold)


@contextmanager
def _as_mistake(prefix: str) -> Generator[None]:
    """A PlatformError becomes an error that pydantic collects with the others, at the key that it is about."""
    try:
        yield
    except PlatformError as error:
        raise ValueError(str(error).removeprefix(prefix)) from error
    except Exception as error:
        # A class of a user's own may raise anything.
        raise ValueError(raised(error)) from error
