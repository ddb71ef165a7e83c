"""Keys of ``defs.yaml`` that nobody knows where they stand: where they belong, or what they are called here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

from pydantic import BaseModel

from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.foundation.earlier import FIRST_TRAINER
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.names import meant
from ml_platform.gates.gate import kind_of
from ml_platform.training.trainer import trainer_of

TYPES: dict[str, type[Declaration]] = {"Dataset": DatasetSpec, "FeatureSet": FeatureSpec, "Model": ModelSpec}
#: Keys of a document of ``defs.yaml``, by Dagster.
DOCUMENT_KEYS = ("type", "attributes", "template_vars_module", "requirements", "post_processing")
#: How other libraries call what has another name here.
SYNONYMS = {
    **dict.fromkeys(("learning_rate", "shrinkage"), "eta"),
    **dict.fromkeys(("n_estimators", "num_boost_round", "num_round", "num_rounds", "iterations", "trees"), "rounds"),
    **dict.fromkeys(("random_state", "random_seed"), "seed"),
    **dict.fromkeys(("lambda", "l2", "l2_regularization"), "reg_lambda"),
    **dict.fromkeys(("colsample", "feature_fraction"), "colsample_bytree"),
    **dict.fromkeys(("bagging_fraction", "row_sample"), "subsample"),
    **dict.fromkeys(("max_bins", "n_bins"), "max_bin"),
    **dict.fromkeys(("loss", "criterion"), "objective"),
    **dict.fromkeys(("label", "y", "outcome"), "target"),
    **dict.fromkeys(("test_size", "test_share"), "holdout"),
    **dict.fromkeys(("primary_key", "keys", "id"), "key"),
    **dict.fromkeys(("timestamp", "date", "time_column"), "time"),
    **dict.fromkeys(("threshold", "cutoff"), "decision_threshold"),
}


def unknown_key(name: str, path: Sequence[str | int], declared: type[BaseModel], attributes: Any) -> str:
    """What is said of a key at ``path`` in the attributes of a declaration that does not take it there."""
    with suppress(DeclarationError, LookupError, TypeError):
        if name in _keys_at(declared, [*path, "parameters"], attributes):
            return f"unknown key; it belongs to parameters: {{{name}: …}}"
    known = _keys_at(declared, path, attributes)
    if not path and name in DOCUMENT_KEYS:
        return f"unknown key; it belongs beside attributes, at their level: {name}: …"
    # Keys of gates are those of many kinds, so that nearly every one of them is in some other place, too.
    elsewhere = [] if "gates" in path else [*dict.fromkeys(_places(declared, name, attributes))]
    if elsewhere:
        return f"unknown key; it belongs to {' or '.join(elsewhere[:2])}"
    called = SYNONYMS.get(name, "")
    if called in known:
        return f"unknown key; it is called {called!r} here"
    if "arguments" in known:
        return (
            f"unknown key; it belongs to arguments: {{{name}: …}}, if it is one of the estimator; known: "
            + ", ".join(known)
        )
    if near := meant(name, known):
        return f"unknown key{near}"
    if called and (there := next(_places(declared, called, attributes), "")):
        return f"unknown key; it is called {called!r} here and belongs to {there}"
    for kind, other in TYPES.items():
        if other is not declared and (there := next(_places(other, name, {}), "")):
            return f"unknown key; it belongs to ml_platform.{kind}, as {there}"
    return f"unknown key{(known and '; known: ' + ', '.join(known)) or ''}"


def unknown_beside_attributes(name: str, kind: type[BaseModel]) -> str:
    """What is said of a key of a document of ``defs.yaml`` that Dagster does not know."""
    known = ", ".join(DOCUMENT_KEYS)
    if name in _keys_at(kind, [], {}):
        return f"unknown key; it belongs to attributes: {{{name}: …}}"
    return f"unknown key; known: {known}{meant(name, DOCUMENT_KEYS)}"


def _places(declared: type[BaseModel], name: str, attributes: Any) -> Iterator[str]:
    """Where in a declaration a key of this name is taken, each as it would be written there."""
    if name in _names(declared):
        yield f"attributes: {{{name}: …}}"
    if declared is ModelSpec:
        trainer = attributes.get("trainer", FIRST_TRAINER) if isinstance(attributes, dict) else FIRST_TRAINER
        with suppress(DeclarationError):
            if name in _names(trainer_of(str(trainer)).Parameters):
                yield f"parameters: {{{name}: …}}"
    for key, one in declared.model_fields.items():
        if (called := one.alias or key) not in ("gates", "parameters"):
            for model in _models(one.annotation):
                yield from (f"{called}: {{{place}}}" for place in _inside(model, name))
    if any(name in _names(model) for model in _models(declared.model_fields["gates"].annotation)):
        yield f"gates: [{{{'' if name == 'gate' else 'gate: …, '}{name}: …}}]"


def _inside(model: type[BaseModel], name: str, depth: int = 3) -> Iterator[str]:
    if name in _names(model):
        yield f"{name}: …"
    elif depth:
        for key, one in model.model_fields.items():
            for inner in _models(one.annotation):
                yield from (f"{one.alias or key}: {{{place}}}" for place in _inside(inner, name, depth - 1))


def _names(model: type[BaseModel]) -> list[str]:
    return [one.alias or name for name, one in model.model_fields.items()]


def _keys_at(model: type[BaseModel], path: Sequence[str | int], attributes: Mapping[str, Any]) -> list[str]:
    """The keys that a declaration takes at a place in it; none where that cannot be told from its model."""
    path = [*path]
    if model is ModelSpec and path == ["parameters"]:
        return _names(trainer_of(str(attributes.get("trainer", FIRST_TRAINER))).Parameters)
    if len(path) == 3 and (path[0], path[2]) == ("gates", "parameters"):
        parameters = kind_of(attributes["gates"][path[1]]["gate"]).parameters  # type: ignore[index]
        return list(parameters.model_fields) if parameters else []
    several: list[type[BaseModel]] = []
    for part in path:
        # Of several kinds the next part of the path says which.
        if several:
            model, several = next((one for one in several if part in _kinds(one)), several[0]), []
            continue
        field = next((one for name, one in model.model_fields.items() if (one.alias or name) == part), None)
        if field is not None:
            inner = _models(field.annotation)
            if not inner:
                return []
            model, several = inner[0], inner if len(inner) > 1 else []
        elif not isinstance(part, int):
            return []
    return [] if several else _names(model)


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, however deep: ``tuple[Gate, ...]``, ``DriftRule | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for one in get_args(annotation) for found in _models(one)]
