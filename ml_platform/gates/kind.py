"""Kinds of gates: what each measures, at which stage, and with which keys it is declared."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.names import meant
from ml_platform.foundation.objects import load_object, shown
from ml_platform.gates.asked import OFFERED
from ml_platform.gates.measurement import Measurement
from ml_platform.gates.stages import GATED, Stage

#: What a gate, and so an asset check, may be called.
NAME = r"^[a-z][a-z0-9_]{0,60}$"


#: Keys that a kind can ask a declaration for, beside its thresholds.
KEYS = (
    *("metric", "columns", "reference", "increasing", "decreasing", "rate", "every", "by", "above", "but_for"),
    *("against", "mode"),
)

#: Fewest and most columns that a gate takes; None: any number from the fewest on.
Number = tuple[int, int | None]

#: From evidence, the gate as declared, and by name what its kind asks for.
Measure = Callable[..., Measurement]


@dataclass(frozen=True)
class Kind:
    """A kind of gate: which stage it belongs to, what it needs, and how it measures."""

    name: str
    stage: Stage
    description: str
    measure: Measure
    #: Thresholds that a declaration has to give: ``min`` or ``max``; empty where ``limit`` is fixed.
    needs: tuple[str, ...] = ()
    #: Further keys that a declaration has to give: ``metric``, ``columns``.
    requires: tuple[str, ...] = ()
    #: Upper limit that cannot be declared, for gates where anything above it is an error.
    limit: float | None = None
    #: Keys of which a declaration has to give at least one.
    any_of: tuple[str, ...] = ()
    #: Keys that a declaration may give, among those that only some kinds take.
    options: tuple[str, ...] = ()
    #: Metrics that there are, where that does not depend on the model.
    metrics: tuple[str, ...] = ()
    #: Values of ``against`` that there are, where that does not depend on the model.
    against: tuple[str, ...] = ()
    #: How many ``columns`` it takes, or by metric how many; a metric that is not named takes any number.
    columns: Number | Mapping[str, Number] | None = None
    #: Whether a clock measures it: another value each time, which alone is no news for the ledger.
    timed: bool = False
    #: Raised when the same evidence gives another result (``measure`` or what makes its evidence was changed): verdicts
    #: of before then count no longer.
    version: int = 1
    #: Evidence that is made only for kinds that ask for it, see :mod:`ml_platform.gates.asked`.
    asks: tuple[str, ...] = ()
    #: Whether it asks when rows are from: data without partitions has no such gate.
    of_time: bool = False
    #: Whether a kind of the evaluation judges a refit as well, or with which metrics: it needs no outcomes that the
    #: model has not learned from.
    refits: bool | tuple[str, ...] = False
    #: Model of the keys under ``parameters``, for a kind that has some of its own; its function reads them as
    #: ``gate.parameters``.
    parameters: type[BaseModel] | None = None
    #: Raises DeclarationError where the keys of a gate as declared do not go together.
    check: Callable[[Any], None] | None = None

    @property
    def keys(self) -> list[str]:
        """What a declaration has to give, each key or choice of keys in words."""
        chosen = [*self.requires, *([" or ".join(self.any_of)] if self.any_of else [])]
        return chosen if self.limit is not None else [*chosen, " and ".join(self.needs) or "min or max"]

    def number(self, metric: str | None) -> Number | None:
        """How many ``columns`` it takes, of a metric; None where any number will do."""
        return self.columns.get(metric or "") if isinstance(self.columns, Mapping) else self.columns

    def miscounted(self, metric: str | None, columns: Sequence[str]) -> str:
        """What is wrong with the number of ``columns``, for a message; empty where nothing is."""
        least, most = self.number(metric) or (0, None)
        if len(columns) >= least and (most is None or len(columns) <= most):
            return ""
        wanted = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        of = f" of {metric}" if isinstance(self.columns, Mapping) else ""
        return f"{of} takes {wanted} column{'' if wanted == '1' else 's'}, not {len(columns)} ({', '.join(columns)})"


KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    stage: Stage,
    description: str,
    *,
    needs: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    limit: float | None = None,
    any_of: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    against: tuple[str, ...] = (),
    columns: Number | Mapping[str, Number] | None = None,
    timed: bool = False,
    version: int = 1,
    asks: tuple[str, ...] = (),
    of_time: bool = False,
    refits: bool | tuple[str, ...] = False,
    parameters: type[BaseModel] | None = None,
    check: Callable[[Any], None] | None = None,
) -> Callable[[Measure], Measure]:
    """Make a function the measure of a kind of gate; it is given the evidence of its stage and the gate as declared.

    What ``asks`` names is given as well, each by its name as a keyword. ``check`` is given each gate as it is declared,
    and raises DeclarationError where its keys do not go together.

    Raises DeclarationError for a name that no check can have, a stage without gates, keys that no gate has, or
    evidence that the stage does not offer.
    """
    if not re.fullmatch(NAME, name):
        raise DeclarationError(f"kind {name!r}: a name has small letters, digits and _, such as {_near(name)!r}")
    if stage not in GATED:
        raise DeclarationError(f"kind {name!r}: there is no stage {stage!r} with gates; take {', '.join(GATED)}")
    tuples = {"needs": needs, "requires": requires, "any_of": any_of, "options": options, "asks": asks}
    for key, value in (tuples | {"metrics": metrics, "against": against}).items():
        if isinstance(cast("object", value), str):
            raise DeclarationError(f"kind {name!r}: {key} is the text {value!r}; expected a tuple: ({value!r},)")
    for number in columns.values() if isinstance(columns, Mapping) else [columns]:
        if number is not None and not _is_number(number):
            raise DeclarationError(
                f"kind {name!r}: columns is {shown(number)}; expected the fewest and the most that it takes, such as "
                "(2, 2), or (1, None) for any number from 1 on"
            )
    if parameters is not None and not _is_model(parameters):
        raise DeclarationError(
            f"kind {name!r}: parameters is {shown(parameters)}; expected a model of pydantic, a class that "
            "inherits from pydantic.BaseModel"
        )
    known = {"min", "max", *KEYS}
    if unknown := sorted({*requires, *any_of, *options} - known) or sorted(set(needs) - {"min", "max"}):
        raise DeclarationError(
            f"kind {name!r}: no gate has the key {unknown[0]!r}; there are {', '.join(sorted(known))}"
        )
    offered = OFFERED.get(stage, {})
    if foreign := sorted(set(asks) - set(offered)):
        elsewhere = [other for other, names in OFFERED.items() if foreign[0] in names]
        raise DeclarationError(
            f"kind {name!r}: the stage {stage} offers no {foreign[0]!r} to ask for; "
            + (f"it offers {', '.join(offered)}" if offered else "it offers nothing")
            + (f", {foreign[0]!r} is offered at {' and '.join(elsewhere)}" if elsewhere else "")
        )

    def register(measure: Measure) -> Measure:
        given = inspect.signature(measure).parameters.values()
        needed = {one.name for one in given if one.kind is one.KEYWORD_ONLY and one.default is one.empty}
        if forgotten := sorted(needed - set(asks)):
            raise DeclarationError(
                f"kind {name!r}: its function wants {forgotten[0]!r} and the kind does not ask for it; "
                f"add asks=({forgotten[0]!r},)"
            )
        try:
            inspect.signature(measure).bind(None, None, **dict.fromkeys(asks))
        except TypeError as error:
            wanted = ", ".join(["evidence", "gate", *(["*", *asks] if asks else [])])
            raise DeclarationError(
                f"kind {name!r}: its function cannot be called with what the kind gives ({error}); "
                f"def {getattr(measure, '__name__', name)}({wanted})"
            ) from error
        limits = (needs, requires, limit, any_of, options, metrics, against, columns)
        about = (timed, version, asks, of_time, refits, parameters, check)
        made = Kind(name, stage, description, measure, *limits, *about)
        # A kind of a user's own is known by its module and never by a name that the platform may take one day.
        if measure.__module__.startswith("ml_platform."):
            KINDS[name] = made
        measure.kind = made  # type: ignore[attr-defined]
        return measure

    return register


def _is_model(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _is_number(found: Any) -> bool:
    try:
        least, most = found
        return least >= 0 and (most is None or least <= most)
    except (TypeError, ValueError):
        return False


def _near(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip()).strip("_").lower().lstrip("0123456789_")[:61] or "takings"


def kind_of(name: str) -> Kind:
    """A kind by name, or that of ``module:function`` which :func:`kind` decorates. Raises DeclarationError."""
    if name in KINDS:
        return KINDS[name]
    if ":" not in name:
        raise DeclarationError(
            f"unknown gate {name!r}; known: {', '.join(sorted(KINDS))}, or module:function{meant(name, KINDS)}"
        )
    found = getattr(load_object(name, "gate"), "kind", None)
    if not isinstance(found, Kind):
        raise DeclarationError(f"gate: {name!r} is no kind of gate; decorate it with ml_platform.gates.gate.kind")
    return found
