"""The one gate mechanism: a named threshold on evidence gives a verdict about a content hash."""

import math
import traceback
from collections.abc import Iterable, Mapping
from functools import cached_property
from operator import index
from typing import Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.raised import raised
from ml_platform.foundation.user_code import files_beside, user_code_version
from ml_platform.gates.asked import Asked, taken
from ml_platform.gates.kind import KINDS, NAME, Kind, kind, kind_of
from ml_platform.gates.measurement import Measurement, require_plain
from ml_platform.gates.stages import ROLLBACK, SCORES_DISTRIBUTION, Stage
from ml_platform.gates.verdict import Status, Verdict

__all__ = ["KINDS", "Gate", "Kind", "Measurement", "Status", "Verdict", "judge", "kind", "kind_of"]

#: Keys that came later: they count for the hash of a declaration only where given, so that older verdicts stay good.
LATER = ("reference", "increasing", "decreasing", "rate", "every", "by", "above", "but_for", "against", "parameters")
#: Keys that only some kinds take. In others they would be read by nobody.
SPECIAL = ("rate", "every", "by", "above", "but_for", "against")


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
    #: Outcomes above this count as 1, others as 0; texts in the order of the alphabet.
    above: float | str | None = None
    #: Columns in which rows may differ and are still the same.
    but_for: tuple[str, ...] | None = None
    #: What is compared with, where the kind leaves a choice.
    against: str | None = None
    #: How a champion is compared.
    mode: Literal["non_inferior", "superior"] | None = None
    #: What a kind of one's own reads beside these keys, as that kind declares it.
    parameters: SerializeAsAny[BaseModel] | None = Field(default=None, validate_default=True)
    #: A failed gate of severity ``warn`` is shown and recorded, and holds nothing back.
    severity: Literal["block", "warn"] = "block"
    #: Below this support the verdict is ``not_enough_support``.
    min_support: int = 0

    _context: str = PrivateAttr("")
    _stage: Stage | None = PrivateAttr(None)

    @field_validator("parameters", mode="before")
    @classmethod
    def _parameters_of_the_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """The kind says which parameters there are, so that a mistake in one is found where it stands."""
        try:
            known = kind_of(info.data["gate"]).parameters
        except (KeyError, DeclarationError):
            return None  # a mistake that is told of the gate
        if known is None:
            if value is not None:
                raise ValueError(f"gate {info.data['gate']!r} has no parameters; remove them")
            return None
        try:
            return known.model_validate({} if value is None else value)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                f"{known.__qualname__} of gate {info.data['gate']!r} cannot read them: {raised(error)}"
            ) from error

    @model_validator(mode="after")
    def _complete(self) -> "Gate":
        try:
            known = kind_of(self.gate)
        except DeclarationError as error:
            raise ValueError(str(error)) from error
        given = {"min": self.min, "max": self.max}
        for name, value in {**given, "above": self.above}.items():
            if isinstance(value, float) and math.isnan(value):
                raise ValueError(f"gate {self.gate!r}: {name} is no number (nan), which nothing is above or below")
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
        if self.columns is not None and (wrong := known.miscounted(self.metric, self.columns)):
            raise ValueError(f"gate {self.gate!r}{wrong}")
        if known.metrics and self.metric not in known.metrics:
            raise ValueError(f"gate {self.gate!r} has no metric {self.metric!r}; take {', '.join(known.metrics)}")
        if known.against and self.against not in (None, *known.against):
            raise ValueError(f"gate {self.gate!r}: against is {', '.join(known.against)}, not {self.against!r}")
        if known.any_of and not any(getattr(self, name) for name in known.any_of):
            raise ValueError(f"gate {self.gate!r} needs {' or '.join(known.any_of)}")
        taken = {*known.requires, *known.any_of, *known.options}
        if foreign := [name for name in SPECIAL if getattr(self, name) is not None and name not in taken]:
            raise ValueError(f"gate {self.gate!r} does nothing with {foreign[0]}; remove it")
        if known.check is not None:
            try:
                known.check(self)
            except Exception as error:
                said = str(error) if isinstance(error, DeclarationError) else raised(error)
                raise ValueError(f"gate {self.gate!r}: {said.removeprefix(f'gate {self.gate!r}: ')}") from error
        if both := sorted(set(self.increasing or ()) & set(self.decreasing or ())):
            raise ValueError(f"gate {self.gate!r}: {', '.join(both)} cannot be increasing and decreasing")
        if self.name in (ROLLBACK, SCORES_DISTRIBUTION):
            raise ValueError(f"gate {self.gate!r}: the name {self.name!r} is the platform's own; give it another one")
        if not self.name:
            # The model is frozen; a name that is not given stays out of `model_fields_set`.
            object.__setattr__(self, "name", self._usual_name)
        return self

    @property
    def _usual_name(self) -> str:
        return f"{kind_of(self.gate).name}_{self.metric}" if self.metric else kind_of(self.gate).name

    @property
    def stage(self) -> Stage:
        """Stage of the loop at which the gate judges."""
        return self._stage or kind_of(self.gate).stage

    def at(self, stage: Stage) -> "Gate":
        """This gate at another stage than that of its kind, where it judges as well."""
        bound = self.model_copy()
        bound._stage = stage
        return bound

    @property
    def judges_refits(self) -> bool:
        """Whether a gate of the evaluation judges a refit as well."""
        refits = kind_of(self.gate).refits
        return refits if isinstance(refits, bool) else self.metric in refits

    @property
    def of_time(self) -> bool:
        """Whether it asks when rows are from."""
        return kind_of(self.gate).of_time or self.every is not None

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

    @cached_property
    def declaration(self) -> str:
        """Hash of the declaration; a verdict given under another threshold does not count."""
        later = {name for name in LATER if getattr(self, name) is None}
        later |= {"name"} if self.name == self._usual_name else set()
        return sha256_bytes(canonical_json({**self.model_dump(exclude=later), **self.own_keys}))[:16]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Gate":
        """As of every model; with other values it is another declaration."""
        copied = super().model_copy(update=update, deep=deep)
        if update:
            vars(copied).pop("declaration", None)
        return copied

    @property
    def own_keys(self) -> dict[str, Any]:
        """Every parameter of a kind of one's own, defaults too, under ``parameters``; empty where there are none."""
        return {} if self.parameters is None else {"parameters": self.parameters.model_dump(mode="json")}

    @property
    def _own_code(self) -> list[Any]:
        return [user_code_version(self.gate), files_beside(self.gate)]

    @property
    def own_code(self) -> str:
        """Version of what a kind of one's own does and may read, 12 hexadecimal digits; empty for the platform's."""
        return sha256_bytes(canonical_json(self._own_code))[:12] if ":" in self.gate else ""

    @property
    def context(self) -> str:
        """Hash of what else decides the judgement; empty for a gate that was not put into one (:meth:`within`)."""
        return self._context

    def within(self, context: str) -> "Gate":
        """This gate in a context: the hash of everything that is declared or written for the content it judges.

        The code of the gate's own kind is added here: its number, or what a kind of a user's own does.
        """
        code: Any = self._own_code if ":" in self.gate else kind_of(self.gate).version
        bound = self.model_copy()
        bound._context = sha256_bytes(canonical_json([context, code]))[:16]
        return bound

    def as_it_was(self, context: str) -> "Gate":
        """This gate in a context that :meth:`within` gave it at another time."""
        bound = self.model_copy()
        bound._context = context
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
