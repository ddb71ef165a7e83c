"""What all declarations have in common: strict models of ``defs.yaml`` with the gates listed in them.

Plain data with plain checks: the components of :mod:`ml_platform.orchestration` turn them into Dagster
definitions, the command line uses them without.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from ml_platform.gates.every_kind import Gate
from ml_platform.gates.stages import Stage

#: Keys that no judgement reads, each with the reason. Every other one is part of the context of verdicts.
UNJUDGED = {
    "description": "a text for people",
    "owners": "whom people ask",
    "tags": "labels in the UI",
    "purpose": "a text of the model card",
    "limits": "a text of the model card",
    "rollout": "how a version takes over, which no verdict is about",
    "retrain": "when it is trained, which no verdict is about",
    "labels": "what came of answers, which no verdict is about",
    "drift": "what sensors say of new partitions, which no verdict is about",
    "gates": "each has a hash of its own, so that a change of one revokes no verdict of another",
}
NAME = r"^[a-z][a-z0-9_]{0,60}$"


class Declaration(BaseModel):
    """Base of all declarations: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())

    #: What it is, in a sentence for people.
    description: str = ""
    #: Who answers for it: ``team:sales`` or an address of e-mail, as Dagster takes them.
    owners: tuple[str, ...] = ()
    #: Tags of its assets in Dagster.
    tags: dict[str, str] = {}
    #: What its content must keep; every kind and its keys are in the list of gates.
    gates: tuple[Gate, ...] = ()

    #: Stages whose gates may be listed here.
    _stages: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _gates_fit(self) -> "Declaration":
        names = [gate.name for gate in self.gates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"gate {twice[0]!r} is listed twice; give each a name of its own")
        for gate in self.gates:
            if gate.stage not in type(self)._stages.default:  # type: ignore[attr-defined]
                raise ValueError(f"gate {gate.gate!r} belongs to {gate.stage}, which is not declared here")
        return self

    def judged(self) -> dict[str, Any]:
        """What is declared but for :data:`UNJUDGED`; keys that have their defaults are left out, so that a new one
        revokes nothing where it is not given."""
        return self.model_dump(mode="json", by_alias=True, exclude=set(UNJUDGED), exclude_defaults=True)

    def gates_of(self, stage: Stage) -> tuple[Gate, ...]:
        """The declared gates of a stage, in order."""
        return tuple(gate for gate in self.gates if gate.stage == stage)
