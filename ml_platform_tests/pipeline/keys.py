"""Every key of every declaration, found by introspection, with another value than the one that is declared."""

from collections.abc import Iterator
from datetime import date, timedelta
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from ml_platform.declarations.dataset import DatasetSpec, QuarantineRule
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.evaluation.options import WorstCase
from ml_platform.features.expressions import Expressions
from ml_platform.live.drift_rule import DriftRule
from ml_platform.live.performance import LiveRule
from ml_platform_tests.shop_project import DATASET, MODEL, attributes

#: Where nothing is declared: what might be.
SAMPLES: dict[type, object] = {
    WorstCase: WorstCase(within=0.2),
    LiveRule: LiveRule(),
    DriftRule: DriftRule(psi=0.25, share=0.3, partitions=2, window=3),
    QuarantineRule: QuarantineRule(max=0.02),
    Expressions: Expressions(key=("id",), features={"twice": "price * 2"}, labels={"late": "delay > 15"}),
    int: 2,
    float: 0.5,
    str: "other",
    date: date(2030, 1, 1),
}


#: Keys whose values have to be known to the code.
KNOWN = {
    "trainer": "sklearn",
    "function": "ml_platform.defs.flights.features:flights",
    "schema_": "ml_platform.defs.flights.schema:Flights",
    # of a kind of gate; those of a model are walked over one by one
    "parameters": WorstCase(within=0.2),
}


def another(value: Any, annotation: Any) -> Any:
    """Another value of a key than the one that is declared. Raises where nobody said what that could be."""
    if options := [one for part in (annotation, *get_args(annotation)) for one in _options(part)]:
        return next(one for one in options if one != value)
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2
        case str():
            return f"{value}_other"
        case date():
            return value + timedelta(days=1)
        case tuple():
            return (*value, "other")
        case dict():
            return {**value, "other": 1.0}
        case None:
            kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
            kind = get_args(kinds[0])[0] if get_origin(kinds[0]) is Annotated else kinds[0]
            return ("other",) if get_origin(kind) is tuple else SAMPLES[kind]
        case _:
            raise AssertionError(f"say in another() what {value!r} could be instead")


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def changes(spec: BaseModel, path: str = "") -> Iterator[tuple[str, BaseModel]]:
    """The declaration with each of its keys changed, alone; of a declared group each key of the group."""
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, BaseModel):
            inner = list(changes(value, f"{path}{name}."))
        else:
            inner = [(f"{path}{name}", KNOWN.get(name) or another(value, field.annotation))]
        for key, changed in inner:
            yield key, spec.model_copy(update={name: changed})


def specs() -> list[Declaration]:
    """The declarations of the shop, with every group that there can be."""
    data, features = attributes(DATASET)
    (model,) = attributes(MODEL)
    return [
        DatasetSpec.model_validate(data),
        FeatureSpec.model_validate(features),
        ModelSpec.model_validate({**model, "worst_case": {"within": 0.2}}),
    ]


#: Declaration and key.
ALL = [(type(spec).__name__, key) for spec in specs() for key, _ in changes(spec)]
