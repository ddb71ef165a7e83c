"""When a model is trained anew: what its declaration says, what is known, and the decision, in one sentence.

The decision is a function of declaration and facts alone. Who asks for it (a sensor, a command) gathers the facts, and
does what was decided.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ml_platform.foundation.names import some
from ml_platform.live.performance import LiveRule

#: How often a training on the same content is begun before it is given up.
ATTEMPTS = 3
#: What a change of data that a model has learned from leads to.
Consequence = Literal["retrain", "advise", "stop"]
#: What can drift. Outcomes that nobody expected may be wrong ones: of them a person is told, and training is no advice.
Kind = Literal["inputs", "outputs", "outcomes"]


class RetrainPolicy(BaseModel):
    """What leads to a training of a model by itself, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    new_data: bool = Field(default=True, description="New partitions lead to a training.")
    min_new_partitions: int = Field(default=1, ge=1, description="That many of them.")
    every: int | None = Field(
        default=None, ge=1, description="A training is due that many days after the last one, where data changed."
    )
    drift: tuple[Kind, ...] = Field(default=(), description="Drift (`drift` says when) of these leads to a training.")
    live_performance: LiveRule | None = Field(
        default=None, description="Live performance below the evaluation leads to a training; default: it is advised."
    )
    correction: Consequence = Field(
        default="retrain", description="A partition that the model learned from came again: train, say so, or stop."
    )
    withdrawal: Consequence = Field(
        default="retrain", description="A partition that the model learned from was taken out: train without it, …"
    )
    cooldown: int = Field(default=0, ge=0, description="Fewest days from one training to the next.")
    per_day: int = Field(default=4, ge=1, description="Most trainings in 24 hours.")
    refusals: int = Field(
        default=3,
        ge=1,
        description="After that many refused candidates in a row, where a version was approved before, only advise.",
    )


@dataclass(frozen=True)
class Facts:
    """What is known of a model when it is asked whether to train it. Times are aware; texts are for people."""

    name: str
    now: datetime
    #: The partitions that a training would take; empty where there is a ``problem``.
    span: str = ""
    #: Why there is nothing to train on.
    problem: str = ""
    #: What a training on exactly this came to; empty where none came to its end.
    outcome: str = ""
    #: Whether there was a training before, on whatever.
    trained: bool = False
    #: Whether the last training was on exactly this and did not come to its end.
    unfinished: bool = False
    #: Partitions, by what became of them since the last training; ``rebuilt``: other features of the same rows.
    new: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    #: What drifted, with a sentence each.
    drifted: Mapping[str, str] = field(default_factory=dict)
    #: Where the champion answers worse than its evaluation showed, a sentence.
    fallen: str = ""
    #: When a training on something else was asked for last, and how many in the last 24 hours.
    last: datetime | None = None
    recent: int = 0
    #: Candidates that gates refused in a row after a version was approved.
    refused: int = 0
    #: Trainings on exactly this that were begun.
    attempts: int = 0
    #: What is under way; who paused it, with the way out; who wants it trained now; who wants this training skipped.
    busy: str = ""
    paused: str = ""
    asked: str = ""
    skipped: str = ""


class Decision(NamedTuple):
    """Whether to train."""

    #: ``stuck``: a person has to look before it goes on.
    action: Literal["train", "advise", "wait", "stuck"]
    #: What was seen, what is done, and what would have to change: one sentence that begins with the model's name.
    said: str
    #: What led to it, a few words each.
    causes: tuple[str, ...] = ()


def decide(policy: RetrainPolicy, facts: Facts) -> Decision:
    """Whether a model is to be trained now.

    A person's word comes first, then what cannot be; limits hold back what is due, and are told apart from nothing
    being due.
    """
    name, command = facts.name, f"ml-platform train {facts.name}"

    def wait(said: str) -> Decision:
        return Decision("wait", f"{name}: {said}")

    if facts.busy:
        return wait(facts.busy)
    if facts.paused:
        return wait(facts.paused)
    if facts.problem:
        return wait(f"cannot be trained: {facts.problem}")
    if facts.asked:
        return _train(facts, [facts.asked])
    if facts.outcome:
        return wait(f"nothing to train: {facts.outcome}")
    if facts.skipped:
        return wait(f"{facts.skipped}; other data or {command} ends that")
    if facts.attempts >= ATTEMPTS:
        said = f"given up after {ATTEMPTS} trainings that did not come to their end; see its runs, then {command}"
        return Decision("stuck", f"{name}: {said}")
    for partitions, said, consequence in _touched(policy, facts):
        if consequence == "stop":
            stopped = f"stopped, since {some(partitions)} {said} after it was trained; {command} ends that"
            return Decision("stuck", f"{name}: {stopped}")
    due = [*_due(policy, facts)]
    advised = [*_advised(policy, facts)]
    if not due and advised:
        return Decision("advise", f"{name}: training is advised: {', '.join(advised)}; {command}", tuple(advised))
    if not due:
        return wait(_idle(policy, facts))
    if facts.refused >= policy.refusals:
        said = f"training is advised ({', '.join(due)}), not begun: {facts.refused} candidates in a row were refused"
        return Decision("advise", f"{name}: {said}; see ml-platform status, then {command}", tuple(due))
    if facts.attempts == 0 and (held := _limit(policy, facts)):
        return wait(f"training is due ({', '.join(due)}) and waits: {held}")
    return _train(facts, due)


def _train(facts: Facts, causes: Sequence[str]) -> Decision:
    again = f" (attempt {facts.attempts + 1} of {ATTEMPTS})" if facts.attempts else ""
    return Decision("train", f"{facts.name}: {', '.join(causes)}: {facts.span}{again}", tuple(causes))


def _touched(policy: RetrainPolicy, facts: Facts) -> Iterator[tuple[tuple[str, ...], str, Consequence]]:
    """Data that the model learned from and that is otherwise now, with what is to follow."""
    if facts.corrected:
        yield facts.corrected, "corrected", policy.correction
    if facts.withdrawn:
        yield facts.withdrawn, "withdrawn", policy.withdrawal


def _due(policy: RetrainPolicy, facts: Facts) -> Iterator[str]:
    """What leads to a training."""
    if facts.attempts or (facts.unfinished and policy.new_data):
        yield "the last training did not come to its end"
    if policy.new_data:
        if not facts.trained:
            yield "first training"
        elif len(facts.new) >= policy.min_new_partitions:
            yield f"new data ({some(facts.new)})"
        if facts.rebuilt:
            yield f"features built anew ({some(facts.rebuilt)})"
    for partitions, said, consequence in _touched(policy, facts):
        if consequence == "retrain":
            yield f"{some(partitions)} {said}"
    changed = not facts.trained or facts.new or facts.corrected or facts.withdrawn or facts.rebuilt
    if policy.every is not None and changed:
        if facts.last is None and facts.trained:
            yield f"due every {policy.every} days"
        elif facts.last is not None and facts.now - facts.last >= timedelta(days=policy.every):
            yield f"due every {policy.every} days, the last was on {facts.last:%Y-%m-%d}"
    if changed:
        yield from (f"drift of {kind}" for kind in facts.drifted if kind in policy.drift)
        if facts.fallen and policy.live_performance is not None:
            yield f"live performance: {facts.fallen}"


def _advised(policy: RetrainPolicy, facts: Facts) -> Iterator[str]:
    """What a person may want to train for."""
    for partitions, said, consequence in _touched(policy, facts):
        if consequence == "advise":
            yield f"{some(partitions)} {said}"
    yield from (f"drift of {kind}" for kind in facts.drifted if kind not in (*policy.drift, "outcomes"))
    if facts.fallen and policy.live_performance is None:
        yield f"live performance: {facts.fallen}"


def _limit(policy: RetrainPolicy, facts: Facts) -> str:
    """What holds back a training that is due; empty where nothing does."""
    if facts.last is not None and facts.now < (until := facts.last + timedelta(days=policy.cooldown)):
        return f"cooldown until {until:%Y-%m-%d %H:%M}"
    if facts.recent >= policy.per_day:
        return f"{facts.recent} trainings in 24 hours, per_day allows {policy.per_day}"
    return ""


def _idle(policy: RetrainPolicy, facts: Facts) -> str:
    """Why nothing is due, and what would have to change."""
    if not policy.new_data:
        return f"not trained on new data (retrain.new_data: false); {_others(policy)}"
    if facts.new:
        return f"{len(facts.new)} of {policy.min_new_partitions} new partitions ({some(facts.new)}); waits for more"
    return "nothing changed since the last training; waits for new data"


def _others(policy: RetrainPolicy) -> str:
    ways = [f"every {policy.every} days"] * (policy.every is not None) + [f"drift of {kind}" for kind in policy.drift]
    ways += ["live performance"] * (policy.live_performance is not None)
    ways += [f"a {key}" for key in ("correction", "withdrawal") if getattr(policy, key) == "retrain"]
    return f"trained on {', '.join(ways) or 'request'}"
