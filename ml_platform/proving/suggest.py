"""Thresholds that the windows before a date propose, and the alarms that they would have raised after it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.weak import weakness
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, kind_of
from ml_platform.gates.stages import Stage
from ml_platform.proving.scratch import Judged

#: Fewest values that a threshold is proposed from.
FEWEST = 3
Side = Literal["min", "max"]


@dataclass(frozen=True)
class Suggestion:
    """A gate as declared, and with the threshold that what was seen before a date proposes."""

    #: Name of the dataset, feature set or model that declares it.
    owner: str
    declared: Gate
    #: As declared where nothing is proposed; ``reason`` then says why.
    proposed: Gate
    reason: str
    #: Observed values by partition (of a model: the last of its window), up to the date and after it.
    before: dict[str, float]
    after: dict[str, float]

    def alarms(self, gate: Gate) -> list[str]:
        """Partitions after the date on which a gate with these thresholds would have raised an alarm."""
        return [name for name, value in self.after.items() if not gate.accepts(value)]

    def line(self) -> str:
        """The gate as a line of ``gates:`` in a ``defs.yaml``, with what was observed behind it."""
        comment = self._comment()
        return f"- {_yaml(self.proposed)}{f'   # {comment}' if comment else ''}"

    def _comment(self) -> str:
        if not self.before and not self.after:
            return self.reason
        if not self.after:
            return f"{span(self.before.values(), self.proposed)} seen{f'; {self.reason}' if self.reason else ''}"
        seen = f"{span(self.before.values(), self.proposed)} before" if self.before else "nothing seen before"
        late = self.alarms(self.proposed)
        after = f"; {span(self.after.values(), self.proposed)} after"
        alarms = f", alarm on {', '.join(late)}" if late else ""
        return f"{seen}{after}{alarms}{f'; {self.reason}' if self.reason else ''}"

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "owner": self.owner,
            "stage": self.declared.stage,
            "gate": self.declared.name,
            "declared": {"min": self.declared.min, "max": self.declared.max},
            "proposed": {"min": self.proposed.min, "max": self.proposed.max},
            "reason": self.reason,
            "before": self.before,
            "after": self.after,
            "alarms_after": self.alarms(self.proposed),
            "alarms_after_as_declared": self.alarms(self.declared),
            "line": self.line(),
        }


def suggestions(context: ModelContext, judged: Iterable[Judged], until: date) -> list[Suggestion]:
    """One for each gate of the model and of what it stands on, in the order of the declarations.

    ``judged`` are verdicts on clean partitions and windows; those that had ended by ``until`` propose the thresholds.
    Raises PlatformError where fewer than :data:`FEWEST` partitions had.
    """
    ended = set(context.dataset.partitions.keys(until))
    seen: dict[tuple[Stage, str], dict[str, float]] = {}
    for one in judged:
        if one.partition and one.verdict.observed is not None and one.verdict.status in ("passed", "failed"):
            seen.setdefault((one.stage, one.verdict.gate), {})[one.partition] = one.verdict.observed
    if len({name for values in seen.values() for name in values} & ended) < FEWEST:
        raise PlatformError(
            f"suggest: fewer than {FEWEST} partitions of {context.dataset.name} had ended by {until}; take a later date"
        )
    found = []
    for owner, name in (
        (context.dataset, context.dataset.name),
        (context.feature_set, context.feature_set.key),
        (context.model, context.model.name),
    ):
        for gate in owner.gates:
            values = seen.get((gate.stage, gate.name), {})
            before = {key: value for key, value in values.items() if key in ended}
            after = {key: value for key, value in values.items() if key not in ended}
            proposed, reason = propose(gate, list(before.values()))
            if (weak := weakness(owner, proposed)) and not weakness(owner, gate):
                proposed, reason = gate, f"kept: {weak}"
            found.append(Suggestion(name, gate, proposed, reason, before, after))
    return found


def propose(gate: Gate, seen: Sequence[float]) -> tuple[Gate, str]:
    """The gate with the thresholds that honest values propose; or as declared, and why.

    Each declared side gets a new number: see :func:`limit`.
    """
    kind = kind_of(gate.gate)
    if kind.limit is not None:
        return gate, ""
    if kind.timed or gate.stage in ("service", "deployment", "shadow"):
        return gate, "not measured in windows"
    if gate.mode == "superior":
        return gate, "a gain that is asked for, not one that was seen"
    if len(seen) < FEWEST:
        return gate, f"{len(seen)} of {FEWEST} values are too few"
    sides: tuple[Side, ...] = ("min", "max")
    chosen = {side: limit(seen, side) for side in sides if getattr(gate, side) is not None}
    if gate.gate == "baseline" and chosen.get("min", 0.0) < 0 <= (gate.min or 0.0):
        return gate, f"kept: min {chosen['min']:g} lets a model pass that is worse than a trivial one"
    if gate.mode == "non_inferior":
        # No candidate has to be better: the margin is that of a loss.
        chosen["min"] = min(chosen["min"], 0.0)
    return gate.model_copy(update=chosen), ""


def limit(seen: Sequence[float], side: Side) -> float:
    """The worst value seen, and beyond it as far again as the values lie apart; rounded away from them.

    Values that are all positive have a positive lower limit: there the distance is a ratio. Of independent values from
    one normal distribution the next one lies beyond with a probability of 7 % after three values, 1.4 % after five and
    0.8 % after six.
    """
    low, high = min(seen), max(seen)
    if low == high:
        return low
    below = low * low / high if low > 0 else low - (high - low)
    bound = high + (high - low) if side == "max" else below
    worst = high if side == "max" else low
    step = 10.0 ** (math.floor(math.log10(abs(bound - worst))) - 1)
    if side == "min" and 0 < bound < step:
        step = 10.0 ** (math.floor(math.log10(bound)) - 1)
    rounded = (math.ceil if side == "max" else math.floor)(round(bound / step, 6)) * step
    return float(f"{rounded:.10g}")


def _yaml(gate: Gate) -> str:
    """The gate in the flow style of YAML, with the keys that it was given."""
    import yaml

    dumped = gate.model_dump(mode="json")
    given = {
        name: dumped[name] for name in sorted(dumped, key=("min", "max").__contains__) if name in gate.model_fields_set
    }
    if given == {"gate": gate.gate}:
        return f"gate: {gate.gate}"
    return yaml.safe_dump(given, default_flow_style=True, sort_keys=False, width=math.inf).strip()


def span(values: Iterable[float], gate: Gate, digits: int = 3) -> str:
    """The smallest and the largest value, rounded to so many digits; to more where that would say another verdict."""
    ordered = sorted(values)
    return " to ".join(dict.fromkeys(_shown(value, gate, digits) for value in (ordered[0], ordered[-1])))


def _shown(value: float, gate: Gate, digits: int) -> str:
    for more in range(digits, 17):
        if gate.accepts(float(text := f"{value:.{more}g}")) == gate.accepts(value):
            return text
    return repr(value)
