"""What a gate saw, before any threshold is applied, and whether a verdict can keep it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from ml_platform.foundation.objects import shown


@dataclass(frozen=True)
class Measurement:
    """What a gate saw in its evidence, before any threshold is applied."""

    #: The measured value; ``None`` where there is nothing to measure, which ``reason`` then explains.
    observed: float | None
    #: One sentence for people.
    reason: str = ""
    #: Rows, groups or days that the value is computed from; ``None`` where there is no value.
    support: int | None = None
    #: Further numbers and small tables (lists of flat records) for the UI.
    details: Mapping[str, Any] = field(default_factory=dict)


def require_plain(measured: Measurement) -> None:
    """Raise TypeError for a measurement that no verdict can keep, naming the field."""
    given: dict[str, Any] = {"observed": measured.observed, "reason": measured.reason, "support": measured.support}
    for name, method in (("observed", "__float__"), ("support", "__index__")):
        if given[name] is not None and not hasattr(given[name], method):
            raise TypeError(f"Measurement.{name} is {shown(given[name])}; make it a number")
    if not isinstance(given["reason"], str):
        raise TypeError(f"Measurement.reason is {shown(given['reason'])}; make it one sentence")
    if measured.observed is None and not measured.reason.strip():
        raise TypeError("Measurement.observed is None and nothing says why; give the reason why nothing is measured")
    if measured.observed is None and measured.support is not None:
        raise TypeError(
            f"Measurement.observed is None and support says that it is computed from {measured.support} rows; "
            "give NaN where that refuses, and no support where there is nothing to measure"
        )
    for name, value in measured.details.items():
        try:
            TypeAdapter(Any).dump_python(value, mode="json")
        except ValueError as error:
            raise TypeError(
                f"Measurement.details[{name!r}] is {shown(value)}, which JSON cannot hold; take plain numbers, texts, "
                "and lists of flat records"
            ) from error
