"""Mistakes that people make in declarations: how to make one, and the line that names it."""

from collections.abc import Callable
from typing import NamedTuple

from ml_platform_tests.components.shop import DATASET, MODEL, Shop


class Mistake(NamedTuple):
    """One mistake in the scaffolded project."""

    name: str
    make: Callable[[Shop], object]
    #: File, key and a part of the reason.
    file: str
    key: str
    reason: str


def _edit(folder: str, old: str, new: str, file: str = "defs.yaml") -> Callable[[Shop], object]:
    return lambda shop: shop.edit(folder, old, new, file)


def _add(folder: str, text: str) -> Callable[[Shop], object]:
    def make(shop: Shop) -> object:
        (shop.defs / folder).mkdir()
        return (shop.defs / folder / "defs.yaml").write_text(text)

    return make


_MODEL, _DATASET, _CODE = f"{MODEL}/defs.yaml", f"{DATASET}/defs.yaml", f"{DATASET}/features.py"
_SECOND = """type: ml_platform.FeatureSet
attributes: {dataset: orders, function: "shop.defs.orders.features:features", history_lag: 1}
"""
MISTAKES = (
    Mistake("unknown key", _edit(MODEL, "task: binary", "task: binary\n  colour: red"), _MODEL, "colour",
            "unknown key"),
    Mistake("unknown key of a gate", _edit(MODEL, "metric: auc, min: 0.55", "metric: auc, mim: 0.55, min: 0.5"), _MODEL,
            "gates.2.mim", "unknown key"),
    Mistake("missing threshold", _edit(MODEL, "{gate: performance, metric: auc, min: 0.55}",
                                       "{gate: performance, metric: auc}"), _MODEL, "gates.2", "has no threshold"),
    Mistake("missing key", _edit(MODEL, "  target: outcome", "  # target"), _MODEL, "target", "is missing"),
    Mistake("wrong type", _edit(MODEL, "rounds: 200", "rounds: many"), _MODEL, "parameters.rounds",
            "should be a valid integer"),
    Mistake("unknown choice", _edit(MODEL, "task: binary", "task: ranking"), _MODEL, "task",
            "use binary, multiclass, regression or module:Class"),
    Mistake("unknown column of a gate", _edit(DATASET, "columns: [amount]", "columns: [amont]"), _DATASET,
            "gates.2.columns", "unknown column 'amont'"),
    Mistake("unknown metric of a gate", _edit(MODEL, "metric: auc, min: 0.55", "metric: roc_auc, min: 0.55"), _MODEL,
            "gates.2.metric", "unknown metric 'roc_auc'"),
    Mistake("unknown target", _edit(MODEL, "target: outcome", "target: returned"), _MODEL, "target",
            "unknown column 'returned'"),
    Mistake("unimportable source", _edit(DATASET, "source:source", "sauce:source"), _DATASET, "source",
            "cannot import shop.defs.orders.sauce"),
    Mistake("unimportable function",
            _edit(DATASET, "import polars as pl", "import no_such_library as pl", "features.py"), _CODE,
            "", "no_such_library"),
    Mistake("object that is not there", _edit(DATASET, "features:features", "features:featurs"), _DATASET, "function",
            "has no object 'featurs'"),
    Mistake("two assets of one name", _add("again", _SECOND), _DATASET, "name", "orders/features"),
    Mistake("unknown feature set", _edit(MODEL, "features: orders/features", "features: orders/feature"), _MODEL,
            "features", "there is no 'orders/feature'; declared: orders/features"),
    Mistake("text for a list", _edit(DATASET, "columns: [amount]", "columns: amount"), _DATASET, "gates.2.columns",
            "has to be a list: [amount]"),
    Mistake("unknown gate", _edit(DATASET, "gate: schema", "gate: shema"), _DATASET, "gates.0", "unknown gate 'shema'"),
    Mistake("gate of another stage", _edit(DATASET, "- gate: schema", "- gate: health"), _DATASET, "",
            "gate 'health' belongs to deployment"),
    Mistake("gate listed twice", _edit(DATASET, "- gate: schema", "- gate: schema\n    - gate: schema"), _DATASET, "",
            "gate 'schema' is listed twice"),
    Mistake("objective of another task", _edit(MODEL, "rounds: 200", "rounds: 200\n    objective: reg:gamma"), _MODEL,
            "parameters.objective", "does not fit the task binary"),
    Mistake("not YAML", _edit(MODEL, "attributes:", "attributes: ]"), _MODEL, "", "not YAML"),
    Mistake("a name of the platform", _edit(MODEL, "metric: auc, min: 0.55", "name: rollback, metric: auc, max: 1"),
            _MODEL, "gates.2", "the name 'rollback' is the platform's own"),
    Mistake("a key twice", _edit(MODEL, "target: outcome", "target: outcome\n  target: amount"), _MODEL, "",
            "the key 'target' stands there twice, first in line"),
    Mistake("a threshold that is no number", _edit(MODEL, "metric: auc, min: 0.55", "metric: auc, min: .nan"), _MODEL,
            "gates.2", "min is no number (nan)"),
    Mistake("features without a time", _edit(DATASET, "time = \"day\"", "time = \"\"", "features.py"), _CODE,
            "", "its time is empty, and orders has partitions; name the column: 'day'"),
    Mistake("unknown component", _edit(MODEL, "ml_platform.Model", "ml_platform.Modle"), _MODEL, "type",
            "unknown component 'ml_platform.Modle'"),
    Mistake("a key of a level below", _edit(MODEL, "task: binary", "task: binary\n  label_delay: 3"), _MODEL,
            "label_delay", "unknown key; it belongs to split: {label_delay: …}"),
    Mistake("a key of the level above", _edit(MODEL, "  split:\n", "  split:\n    owners: ['team:x']\n"), _MODEL,
            "split.owners", "unknown key; it belongs to attributes: {owners: …}"),
    Mistake("a key of another component", _edit(MODEL, "task: binary", "task: binary\n  history_lag: 3"), _MODEL,
            "history_lag", "unknown key; it belongs to ml_platform.FeatureSet, as attributes: {history_lag: …}"),
    Mistake("a key outside of the attributes", _edit(MODEL, "attributes:", "owners: ['team:x']\nattributes:"), _MODEL,
            "owners", "unknown key; it belongs to attributes: {owners: …}"),
    Mistake("a key of a source at the top", _edit(DATASET, "  key: [id]", "  key: [id]\n  separator: ';'"), _DATASET,
            "separator", "unknown key; it belongs to source: {separator: …}"),
    Mistake("another library's name", _edit(MODEL, "rounds: 200", "rounds: 200\n    learning_rate: 0.1"), _MODEL,
            "parameters.learning_rate", "unknown key; it is called 'eta' here"),
    Mistake("a duration with its unit", _edit(DATASET, "history_lag: 1", "history_lag: 30 days"), _DATASET,
            "history_lag", "has to be a number of days, without the word: 30 (found '30 days')"),
    Mistake("second platform", _add("platform2", "type: ml_platform.Platform\n"), "platform2/defs.yaml", "type",
            "a second ml_platform.Platform"),
)  # fmt: skip
