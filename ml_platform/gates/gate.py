"""The one gate mechanism: a named threshold on evidence gives a verdict about a content hash."""

import inspect
import math
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.names import meant
from ml_platform.foundation.objects import load_object
from ml_platform.foundation.raised import raised
from ml_platform.foundation.user_code import user_code_version
from ml_platform.gates.asked import OFFERED, Asked, taken
from ml_platform.gates.measurement import Measurement, require_plain
from ml_platform.gates.stages import GATED, Stage
from ml_platform.gates.verdict import Status, Verdict

#: What a gate, and so an asset check, may be called.
NAME = r"^[a-z][a-z0-9_]{0,60}$"


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
    #: Whether a clock measures it: another value each time, which alone is no news for the ledger.
    timed: bool = False
    #: Raised when the same evidence gives another result (``measure`` or what makes its evidence was changed): verdicts
    #: of before then count no longer.
    version: int = 1
    #: Evidence that is made only for kinds that ask for it, see :mod:`ml_platform.gates.asked`.
    asks: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {}
#: Keys that came later: they count for the hash of a declaration only where given, so that older verdicts stay good.
LATER = ("reference", "increasing", "decreasing", "rate", "every", "by", "above", "but_for", "against")
#: Keys that only some kinds take. In others they would be read by nobody.
SPECIAL = ("rate", "every", "by", "above", "but_for", "against")


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
    timed: bool = False,
    version: int = 1,
    asks: tuple[str, ...] = (),
) -> Callable[[Measure], Measure]:
    """Make a function the measure of a kind of gate; it is given the evidence of its stage and the gate as declared.

    What ``asks`` names is given as well, each by its name as a keyword.

    Raises DeclarationError for a name that no check can have, a stage without gates, keys that no gate has, or
    evidence that the stage does not offer.
    """
    if not re.fullmatch(NAME, name):
        raise DeclarationError(f"kind {name!r}: a name has small letters, digits and _, such as {_near(name)!r}")
    if stage not in GATED:
        raise DeclarationError(f"kind {name!r}: there is no stage {stage!r} with gates; take {', '.join(GATED)}")
    known = {*Gate.model_fields, *needs} - {"gate", "name", "severity", "min_support"}
    if unknown := sorted({*requires, *any_of, *options} - known) or sorted(set(needs) - {"min", "max"}):
        raise DeclarationError(
            f"kind {name!r}: no gate has the key {unknown[0]!r}; there are {', '.join(sorted(known))}"
        )
    offered = OFFERED.get(stage, {})
    if foreign := sorted(set(asks) - set(offered)):
        raise DeclarationError(
            f"kind {name!r}: the stage {stage} offers no {foreign[0]!r} to ask for; {', '.join(offered) or 'nothing'}"
        )

    def register(measure: Measure) -> Measure:
        given = inspect.signature(measure).parameters.values()
        needed = {one.name for one in given if one.kind is one.KEYWORD_ONLY and one.default is one.empty}
        if forgotten := sorted(needed - set(asks)):
            raise DeclarationError(
                f"kind {name!r}: its function wants {forgotten[0]!r} and the kind does not ask for it; "
                f"add asks=({forgotten[0]!r},)"
            )
        limits = (needs, requires, limit, any_of, options, metrics, against)
        made = Kind(name, stage, description, measure, *limits, timed, version, asks)
        # A kind of a user's own is known by its module and never by a name that the platform may take one day.
        if measure.__module__.startswith("ml_platform."):
            KINDS[name] = made
        measure.kind = made  # type: ignore[attr-defined]
        return measure

    return register


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


class Gate(BaseModel):
    """A gate as declared in ``defs.yaml``. There are no default thresholds: a listed gate states its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Kind of gate, e.g. ``volume`` or ``performance``, or ``module:function`` of one's own.
    gate: str
    #: Name of the asset check, where the kind (with the metric, if there is one) does not tell two gates apart.
    name: str = Field(default="", pattern=NAME)
    #: Smallest and largest accepted value.
    min: float | None = None
    max: float | None = None
    #: Metric that is measured, where the kind asks for one.
    metric: str | None = None
    #: Columns that are measured, where the kind asks for them.
    columns: tuple[str, ...] | None = None
    #: Partitions to compare with, where the kind compares with earlier ones; ``None``: all accepted ones.
    reference: tuple[str, ...] | None = None
    #: Features that a prediction must not fall (rise) with.
    increasing: tuple[str, ...] | None = None
    decreasing: tuple[str, ...] | None = None
    #: Requests per second at which a service is timed: no fewer than make a p99 in a minute, no more than one process
    #: can send.
    rate: float | None = Field(default=None, ge=5, le=1000)
    #: Periods that are looked at one by one.
    every: Literal["day", "hour"] | None = None
    #: Columns whose values divide the rows into slices that are looked at one by one.
    by: tuple[str, ...] | None = None
    #: Outcomes above this count as 1, others as 0.
    above: float | None = None
    #: Columns in which rows may differ and are still the same.
    but_for: tuple[str, ...] | None = None
    #: What is compared with, where the kind leaves a choice.
    against: str | None = None
    #: How a champion is compared.
    mode: Literal["non_inferior", "superior"] | None = None
    #: A failed gate of severity ``warn`` is shown and recorded, and holds nothing back.
    severity: Literal["block", "warn"] = "block"
    #: Below this support the verdict is ``not_enough_support``.
    min_support: int = 0

    _context: str = PrivateAttr("")

    @model_validator(mode="after")
    def _complete(self) -> "Gate":
        try:
            known = kind_of(self.gate)
        except DeclarationError as error:
            raise ValueError(str(error)) from error
        given = {"min": self.min, "max": self.max}
        missing = [name for name in known.needs if given[name] is None]
        if missing:
            raise ValueError(f"gate {self.gate!r} has no threshold: give {' and '.join(missing)}")
        if not known.needs and known.limit is None and self.min is None and self.max is None:
            raise ValueError(f"gate {self.gate!r} has no threshold: give min or max")
        if known.limit is not None and (self.min is not None or self.max is not None):
            raise ValueError(f"gate {self.gate!r} has a fixed limit ({known.limit:g}); remove min and max")
        for name in known.requires:
            if getattr(self, name) in (None, ()):
                raise ValueError(f"gate {self.gate!r} needs {name}")
        if known.metrics and self.metric not in known.metrics:
            raise ValueError(f"gate {self.gate!r} has no metric {self.metric!r}; take {', '.join(known.metrics)}")
        if known.against and self.against not in (None, *known.against):
            raise ValueError(f"gate {self.gate!r}: against is {', '.join(known.against)}, not {self.against!r}")
        if known.any_of and not any(getattr(self, name) for name in known.any_of):
            raise ValueError(f"gate {self.gate!r} needs {' or '.join(known.any_of)}")
        taken = {*known.requires, *known.any_of, *known.options}
        if foreign := [name for name in SPECIAL if getattr(self, name) is not None and name not in taken]:
            raise ValueError(f"gate {self.gate!r} does nothing with {foreign[0]}; remove it")
        if both := sorted(set(self.increasing or ()) & set(self.decreasing or ())):
            raise ValueError(f"gate {self.gate!r}: {', '.join(both)} cannot be increasing and decreasing")
        if not self.name:
            # The model is frozen; a name that is not given stays out of `model_fields_set`.
            object.__setattr__(self, "name", self._usual_name)
        return self

    @property
    def _usual_name(self) -> str:
        return f"{kind_of(self.gate).name}_{self.metric}" if self.metric else kind_of(self.gate).name

    @property
    def stage(self) -> Stage:
        """Stage of the loop that the gate belongs to."""
        return kind_of(self.gate).stage

    @property
    def blocking(self) -> bool:
        """Whether anything but a pass holds back what follows."""
        return self.severity == "block"

    @property
    def description(self) -> str:
        """What is measured, and the threshold."""
        return f"{kind_of(self.gate).description} ({self.threshold})"

    @property
    def threshold(self) -> str:
        """The threshold in words."""
        limit = kind_of(self.gate).limit
        if limit is not None:
            return f"at most {limit:g}"
        parts = [f"at least {self.min:g}"] if self.min is not None else []
        parts += [f"at most {self.max:g}"] if self.max is not None else []
        return " and ".join(parts)

    @property
    def declaration(self) -> str:
        """Hash of the declaration; a verdict given under another threshold does not count."""
        later = {name for name in LATER if getattr(self, name) is None}
        later |= {"name"} if self.name == self._usual_name else set()
        return sha256_bytes(canonical_json(self.model_dump(exclude=later)))[:16]

    @property
    def context(self) -> str:
        """Hash of what else decides the judgement; empty for a gate that was not put into one (:meth:`within`)."""
        return self._context

    def within(self, context: str) -> "Gate":
        """This gate in a context: the hash of everything that is declared or written for the content it judges.

        The code of the gate's own kind is added here: its number, or what a kind of a user's own does.
        """
        code: int | str = user_code_version(self.gate) if ":" in self.gate else kind_of(self.gate).version
        bound = self.model_copy()
        bound._context = sha256_bytes(canonical_json([context, code]))[:16]
        return bound

    def judged(self, verdict: Verdict | None) -> bool:
        """Whether a verdict is one of this gate as it is declared, in the context that it is in."""
        return verdict is not None and (verdict.declaration, verdict.context) == (self.declaration, self.context)

    def accepts(self, observed: float) -> bool:
        """Whether a measured value keeps the threshold. NaN never does."""
        if math.isnan(observed):
            return False
        limit = kind_of(self.gate).limit
        upper = limit if limit is not None else self.max
        return (self.min is None or observed >= self.min) and (upper is None or observed <= upper)


def judge(
    gates: Iterable[Gate],
    evidence: Any,
    *,
    subject: str,
    subject_name: str,
    compared: Mapping[str, str] | None = None,
    asked: Asked | None = None,
) -> list[Verdict]:
    """Apply every gate to the evidence; one verdict each, whatever happens.

    A gate that raises gives ``errored``, which holds back. Each gate runs in its own ``try`` so that one
    defect neither hides the verdicts of the others nor passes for a green run. ``compared`` are contents that every
    gate looks at; what else one looks at, evidence notes in a dict ``looked_at``. ``asked`` makes what kinds ask for.
    """
    return [_judge(gate, evidence, subject, subject_name, compared or {}, asked or {}) for gate in gates]


def _judge(
    gate: Gate, evidence: Any, subject: str, subject_name: str, compared: Mapping[str, str], asked: Asked
) -> Verdict:
    noted: dict[str, str] = getattr(evidence, "looked_at", {})
    noted.clear()

    def verdict(status: Status, measured: Measurement) -> Verdict:
        observed = measured.observed
        return Verdict(
            gate=gate.name,
            stage=gate.stage,
            subject=subject,
            subject_name=subject_name,
            status=status,
            blocking=gate.blocking,
            observed=None if observed is None or not math.isfinite(observed) else float(observed),
            threshold=gate.threshold,
            declaration=gate.declaration,
            reason=measured.reason,
            support=None if measured.support is None else index(measured.support),
            details=dict(measured.details),
            context=gate.context,
            compared={**compared, **noted},
        )

    try:
        # A kind of one's own may return anything.
        known = kind_of(gate.gate)
        measured = cast("object", known.measure(evidence, gate, **taken(gate.name, known.asks, asked)))
        if not isinstance(measured, Measurement):
            raise TypeError(f"gate {gate.name} returned {type(measured).__name__}, not a Measurement")
        require_plain(measured)
        if measured.support is not None and measured.support < gate.min_support:
            return verdict("not_enough_support", measured)
        if measured.observed is None:
            return verdict("passed", measured)
        return verdict("passed" if gate.accepts(measured.observed) else "failed", measured)
    except Exception as error:
        trace = "" if isinstance(error, PlatformError) else traceback.format_exc(limit=-4)
        return verdict("errored", Measurement(None, raised(error), details={"traceback": trace}))
