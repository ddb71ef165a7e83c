"""Keys of a ``defs.yaml``, as the models that check them have them: name, default, sentence."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from protocols import above, first_sentence
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ml_platform.foundation.objects import named
from ml_platform.sources.kinds import SOURCES
from ml_platform.training.trainer import TRAINERS, trainer_of


def parameters_of(trainer: str) -> str:
    """``module:Class`` of the parameters of a trainer of the platform."""
    return named(trainer_of(trainer).Parameters)


#: Title and model of each table, in the order in which data flows.
MODELS = (
    ("`ml_platform.Dataset`", "ml_platform.declarations.dataset:DatasetSpec"),
    *((f"`source: {{kind: {kind}, …}}`", path) for kind, path in SOURCES.items()),
    ("`partitions`", "ml_platform.sources.partitions:Partitions"),
    ("`quarantine`", "ml_platform.declarations.dataset:QuarantineRule"),
    ("`ml_platform.FeatureSet`", "ml_platform.declarations.features:FeatureSpec"),
    ("`expressions`", "ml_platform.features.expressions:Expressions"),
    ("`expressions.past`", "ml_platform.features.expressions:PastMean"),
    ("`ml_platform.Model`", "ml_platform.declarations.model:ModelSpec"),
    ("`split`", "ml_platform.training.split:SplitRule"),
    *((f"`parameters` of `{name}`", parameters_of(name)) for name in TRAINERS),
    ("`worst_case`", "ml_platform.evaluation.options:WorstCase"),
    ("`retrain`", "ml_platform.live.retraining:RetrainPolicy"),
    ("`retrain.live_performance`", "ml_platform.live.performance:LiveRule"),
    ("`drift`", "ml_platform.live.drift_rule:DriftRule"),
    ("`rollout`", "ml_platform.rollout.record:Plan"),
    ("`rollout.steps`", "ml_platform.rollout.record:Step"),
    ("`rollout.rules`", "ml_platform.rollout.record:Rules"),
)


class Untold(Exception):
    """A key of which its model says nothing."""


def tables() -> Iterator[str]:
    """The lines of all tables. Raises Untold for a key without a sentence."""
    for title, path in MODELS:
        module, _, name = path.partition(":")
        model: type[BaseModel] = getattr(importlib.import_module(module), name)
        yield from (f"## {title}", "", "| key | default | what |", "|---|---|---|")
        for key, field in model.model_fields.items():
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                continue
            told = first_sentence(field.description or "") or _comment(model, key)
            if not told:
                raise Untold(f"{path}: {key} has no comment #: and no description")
            yield f"| `{field.alias or key}` | {_default(field)} | {told} |"
        yield ""


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined:
        return "" if field.default_factory is None else "none"
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" if one else '`""`' for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _comment(model: type[BaseModel], key: str) -> str:
    """What stands above a field in the source of the class that has it."""
    for owner in model.__mro__:
        if key not in getattr(owner, "__annotations__", {}):
            continue
        lines = inspect.getsource(owner).splitlines()
        (node,) = ast.parse(re.sub(r"^\s+(?=class)", "", "\n".join(lines))).body
        assert isinstance(node, ast.ClassDef)
        for one in node.body:
            if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == key:
                return above(lines, one.lineno)
    return ""
