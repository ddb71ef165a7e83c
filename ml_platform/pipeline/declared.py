"""What a version is judged by, as it is noted with the decisions on it, so that a later version can be held against it.

Every gate with the code of its kind, and everything else that decides a judgement: what is declared, and code of one's
own. Left out are texts (:data:`~ml_platform.declarations.declaration.UNJUDGED`) and :data:`OF_THE_MODEL`.
"""

from typing import Any

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.declaration import UNJUDGED, Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.reached import reached_version
from ml_platform.foundation.user_code import files_beside, user_code_version
from ml_platform.gates.changes import Change, Direction, written
from ml_platform.gates.gate import Gate
from ml_platform.gates.stages import OF_MODEL

#: Keys of declarations that are compared with nothing, each with the reason: they are what is judged, not by what.
OF_THE_MODEL = {
    "DatasetSpec.name": "another dataset is named by the features",
    "DatasetSpec.source": "where rows come from: the gates of the batch judge what they are",
    "FeatureSpec.name": "the model names its features",
    "FeatureSpec.function": "other features are another model; the code that makes labels is compared by itself",
    "FeatureSpec.expressions": "other features are another model; the labels are compared by themselves",
    "ModelSpec.name": "another name is another model, with a champion of its own",
    "ModelSpec.trainer": "another trainer makes another model, which the same gates judge",
    "ModelSpec.parameters": "other parameters make another model, which the same gates judge",
    "ModelSpec.check_partitions": "what is trained on to try a branch out: nothing of that is registered",
}
#: Methods and attributes of a feature function by which it makes labels.
_LABELS = ("targets", "labels")


def declared(context: ModelContext) -> dict[str, Any]:
    """Every gate that a model stands behind, by asset, with what those gates read of declarations and code."""
    model, dataset, features = context.model, context.dataset, context.feature_set
    gates: dict[str, tuple[Gate, ...]] = {
        f"{dataset.name}/batch": dataset.gates_of("batch"),
        features.key: features.gates_of("features"),
        # Those of the evaluation that judge a refit as well are said once.
        **{f"{model.name}/{stage}": tuple(gate for gate in model.gates if gate.stage == stage) for stage in OF_MODEL},
    }
    if not model.split.refit:
        del gates[f"{model.name}/refit"]
    if not gates[f"{model.name}/shadow"]:
        del gates[f"{model.name}/shadow"]  # as it was noted before there were any
    read = {key: value for spec in (dataset, features, model) for key, value in _noted(spec).items()}
    read |= {
        "schema": _code(dataset.schema_),
        "quarantine": dataset.quarantine.max if dataset.quarantine else None,
        # As it was noted from the beginning: what has its default is left out.
        "split": canonical_json(model.split.model_dump(mode="json", exclude_defaults=True)),
        "slices": list(context.function.slices),
        "time of the features": context.function.time,
        "labels": labels_version(features),
        "task": f"{model.task} {_code(model.task)}" if ":" in model.task else model.task,
    }
    return {"gates": {asset: [written(gate) for gate in some] for asset, some in gates.items()}, "read": read}


def labels_version(features: FeatureSpec) -> str:
    """Version of what makes the labels: of declared expressions those, of a function what its labels come from."""
    if features.expressions is not None:
        return sha256_bytes(canonical_json(features.expressions.labels))[:12]
    return reached_version(features.function, *_LABELS)


def read_otherwise(context: ModelContext, before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """What of that is read otherwise than before; what an earlier release did not note is compared with nothing."""
    evaluated = f"{context.model.name}/evaluation"
    asset = {
        "schema": f"{context.dataset.name}/batch",
        "quarantine": f"{context.dataset.name}/batch",
        "labels": context.feature_set.key,
        "split": f"{context.model.name}/split",
    }
    for spec, its in (
        (context.dataset, f"{context.dataset.name}/batch"),
        (context.feature_set, context.feature_set.key),
        (context.model, evaluated),
    ):
        asset |= {key: its for key in _noted(spec) if key not in asset}
    return [
        Change(asset.get(key, evaluated), key, _direction(key, old, new), key, _words(old), _words(new))
        for key, old in before.items()
        if old != (new := now.get(key)) and not (key == "task" and _moved(old, new))
    ]


def _moved(old: Any, new: Any) -> bool:
    """Whether a task of a user's own only stands in another module: class and code are equal."""
    (before, _, its), (now, _, code) = str(old).partition(" "), str(new).partition(" ")
    return bool(code) and code == its and before.rpartition(":")[2] == now.rpartition(":")[2]


def _noted(spec: Declaration) -> dict[str, Any]:
    """Every key of a declaration that decides a judgement, by its name in notes, as plain data."""
    kind = type(spec).__name__
    plain = spec.model_dump(mode="json", exclude=set(UNJUDGED))
    return {
        "schema" if key == "schema_" else key: value
        for key, value in plain.items()
        if f"{kind}.{key}" not in OF_THE_MODEL
    }


def _code(path: str) -> str:
    """Version of code of one's own and of the files that it may read."""
    return sha256_bytes(canonical_json([user_code_version(path), files_beside(path)]))[:12]


def _direction(key: str, old: Any, new: Any) -> Direction:
    match key:
        case "new_columns":
            return "loosened" if new == "accept" else "tightened"
        case "quarantine":
            # Rows that are set aside are seen by no other gate.
            return "tightened" if new is None or (old is not None and new < old) else "loosened"
        case "slices" if set(old) != set(new or ()):
            return "tightened" if set(old) < set(new or ()) else "loosened"
        case "stale":
            return "tightened" if new == "refuse" else "loosened"
        case _:
            return "changed"


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return canonical_json(value) if isinstance(value, dict) else "" if value is None else str(value)
