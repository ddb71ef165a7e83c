"""``validate`` tries the feature function on rows that the schema allows: what would fail later is a line now."""

import re

import pytest

from ml_platform.declarations.loading import find_weak
from ml_platform.foundation.project import Project
from ml_platform.gates.every_kind import KINDS
from ml_platform_tests.cli.conftest import calling, mistakes_in
from ml_platform_tests.components.shop import DATASET, MODEL, Shop


@pytest.mark.parametrize(
    ("file", "old", "new", "key", "reason"),
    [
        pytest.param("schema.py", "day: pl.Date =", "day: str =", "time =",
                     "the time column 'day' is String; make it a Date or a Datetime", id="time of text"),
        pytest.param("features.py", "cast(pl.Int64)", "cast(pl.Float64)", "def outcomes(",
                     "outcome 'outcome' is Float64: round it to a whole number", id="float outcome"),
        pytest.param("features.py", 'columns = ("amount", "weekday")', 'columns = ("amount", "id")', "columns =",
                     "'id' is a key and a feature; give one of them another name", id="key that is a feature"),
        pytest.param("features.py", 'columns = ("amount", "weekday")', 'columns = ("amount", "outcome")', "labels =",
                     "'outcome' is a feature and a label", id="label that is a feature"),
        pytest.param("features.py", 'columns = ("amount", "weekday")', 'columns = ("amount", "customer")', "columns =",
                     "feature 'customer' is String, no number; encode it in rows()", id="text feature"),
        pytest.param("features.py", 'columns = ("amount", "weekday")', 'columns = ("amount", "wekday")', "columns =",
                     "rows() lacks the declared columns ['wekday']; add them or take them off the declaration; did you "
                     "mean 'weekday'?", id="typo in columns"),
        pytest.param("features.py", 'raw.select("amount", "customer",', 'raw.select("amount", "outcome", "customer",',
                     "return raw.select(", "rows() reads 'outcome', which is not among inputs; add it there, unless",
                     id="rows() reads an outcome"),
        pytest.param("features.py", "dt.weekday()", "dt.weekdy()", "return raw.select(",
                     "rows() fails on rows as the schema allows them: AttributeError: 'Expr", id="code that raises"),
        pytest.param("features.py", 'inputs = ("id", "day",', 'inputs = ("day",', "inputs =",
                     "time and key columns ['id'] are not among its inputs", id="key that no request has"),
        pytest.param("features.py", 'key = ("id",)', 'key = ("idd",)', "key =",
                     "unknown column 'idd'; shop.defs.orders.schema:Rows has amount, customer, day, id, "
                     "outcome; did you mean 'id'?", id="unknown key"),
        pytest.param("defs.yaml", "every: month", "every: hour", "time",
                     "'day' is Date in shop.defs.orders.schema:Rows, and partitions are hours; make it a Datetime",
                     id="hours of days"),
        pytest.param("defs.yaml", "history_lag: 1", "history_lag: 0", "history_lag",
                     "is 0; it must be at least 1, since the outcomes of a row's own day are its future",
                     id="no lag"),
        pytest.param("defs.yaml", "history_lag: 1", "history_lagg: 1\n  history_lag: 1", "history_lagg",
                     "unknown key; did you mean 'history_lag'?", id="nearest key"),
        pytest.param("defs.yaml", "gate: volume", "gate: volme", "gates.6",
                     "or module:function; did you mean 'volume'?", id="nearest gate"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_anything_is_read(
    shop: Shop, file: str, old: str, new: str, key: str, reason: str
) -> None:
    shop.edit(DATASET, old, new, file)
    told = [line for line in mistakes_in(shop) if "defs/orders/" in line]
    (line,) = [line for line in told if reason in line]
    # What is wrong in code is told where it stands there.
    name = "features.py" if file.endswith(".py") else "defs.yaml"
    place, _, said = line.removeprefix(f"src/shop/defs/{DATASET}/{name}:").partition(": ")
    at = (shop.defs / DATASET / name).read_text().splitlines()[int(place) - 1].strip()
    assert at.startswith(key) if name == "features.py" else said.startswith(f"attributes.{key}: "), (line, at)


def test_all_are_shown_in_one_go(shop: Shop) -> None:
    shop.edit(DATASET, 'columns = ("amount", "weekday")', 'columns = ("amount", "customer", "id")', "features.py")
    shop.edit(DATASET, "cast(pl.Int64)", "cast(pl.Float64)", "features.py")
    told = "\n".join(mistakes_in(shop))
    for reason in (
        "'id' is a key and a feature",
        "'customer' is String",
        "is Float64",
        "lacks",
    ):
        assert reason in told


def test_a_wrong_key_or_gate_hides_no_other_mistake_of_its_declaration(shop: Shop) -> None:
    shop.edit(MODEL, "task: binary", "task: binary\n  colour: red")
    shop.edit(MODEL, "metric: auc, min: 0.55", "metric: auc, mim: 0.55, min: 0.5")
    path = shop.edit(MODEL, "target: outcome", "target: outcom")
    shop.edit(MODEL, "gate: leak_alarm, metric: auc", "gate: leak_alarm, metric: uac")
    told = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    for key in ("colour: unknown key", "gates.2.mim: unknown key", "target: unknown column 'outcom'"):
        assert [line for line in told if f"attributes.{key}" in line], told
    (metric,) = [line for line in told if "unknown metric 'uac'" in line]
    number = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "uac" in text)
    assert f"defs.yaml:{number}: " in metric, "the line is that of the file, whatever was left out before it"


def test_classes_that_the_schema_does_not_have(shop: Shop) -> None:
    shop.edit(DATASET, "isin=[0, 1]", "isin=[0, 1, 2]", "schema.py")
    shop.edit(
        MODEL, "task: binary\n  decision_threshold: 0.5", 'task: multiclass\n  classes: ["0", "1", "two"]', "defs.yaml"
    )
    lines = [line.partition("attributes.")[2] for line in mistakes_in(shop) if "classes: " in line]
    assert lines == [
        "classes: no row can have the class 'two'; shop.defs.orders.schema:Rows allows 0, 1, 2",
        "classes: lacks '2'; shop.defs.orders.schema:Rows allows 0, 1, 2: declare every class, or leave its rows "
        "without a label",
    ]


def test_texts_of_the_scaffold_that_would_go_on_the_card_are_warned_of(shop: Shop) -> None:
    told = [line for line in find_weak(Project.find(shop.root)) if "scaffold" in line]
    assert [line.partition("attributes.")[2].partition(":")[0] for line in told] == [
        "description", "description", "purpose", "limits",
    ]  # fmt: skip
    shop.edit(MODEL, "purpose: Say what decisions it is for", "purpose: Whom to ask before an order is sent")
    assert not [line for line in find_weak(Project.find(shop.root)) if "purpose" in line]


def test_a_tab_in_yaml_is_told_with_the_way_out(shop: Shop) -> None:
    shop.edit(MODEL, "  target: outcome", "\ttarget: outcome")
    (line,) = mistakes_in(shop)
    assert "indent with spaces, not with tabs" in line


def test_a_paused_name_that_is_not_declared_is_a_mistake(shop: Shop) -> None:
    done = shop.ml("validate", ML_PLATFORM_PAUSED="order")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        "ML_PLATFORM_PAUSED: there is no dataset or model 'order'; declared: orders, returns; did you mean 'orders'?"
    )


GATES = """
from pydantic import BaseModel, Field

from ml_platform.gates.gate import Measurement, kind


class Quantile(BaseModel, extra="forbid", frozen=True):
    q: float = Field(gt=0, lt=1, description="share of the rows below it")


@kind("quantile", "batch", "Quantile of a column", needs=("max",), requires=("columns",), parameters=Quantile)
def quantile(evidence, gate):
    return Measurement(evidence.frame[gate.columns[0]].quantile(gate.parameters.q), "")


@kind("late", "batch", "Days since the last row", needs=("max",), of_time=True)
def late(evidence, gate):
    return Measurement(0, "")
"""
OWN = "    - gate: schema\n    - {gate: 'shop.gates:quantile', columns: [amount], max: 9, name: %s%s}\n"


def own_gates(shop: Shop, code: str, *parameters: str) -> None:
    (shop.defs.parent / "gates.py").write_text(code)
    for number, text in enumerate(parameters):
        shop.edit(DATASET, "    - gate: schema\n", OWN % (f"own{number}", text and f", parameters: {text}"))


@pytest.mark.parametrize(
    ("parameters", "key", "reason"),
    [
        ("", "parameters.q", "is missing"),
        ("{q: 2}", "parameters.q", "Input should be less than 1 (found '2')"),
        ("{q: 0.5, quantle: 1}", "parameters.quantle", "unknown key; known: q"),
    ],
)
def test_parameters_of_a_gate_of_ones_own_are_checked_where_they_stand(
    shop: Shop, parameters: str, key: str, reason: str
) -> None:
    own_gates(shop, GATES, parameters)
    (line,) = [line for line in mistakes_in(shop) if "defs/orders/" in line]
    assert line.endswith(f"attributes.gates.1.{key}: {reason}")
    shop.edit(DATASET, f", parameters: {parameters}" if parameters else ", name: own0", ", parameters: {q: 0.5}")
    assert not mistakes_in(shop)


def test_a_parameter_beside_the_keys_of_a_gate_is_told_where_it_stands(shop: Shop) -> None:
    own_gates(shop, GATES, "{q: 0.5}")
    shop.edit(DATASET, ", parameters: {q: 0.5}", ", parameters: {q: 0.5}, q: 0.5")
    (line,) = [line for line in mistakes_in(shop) if "defs/orders/" in line]
    assert line.endswith("attributes.gates.1.q: unknown key; it belongs to parameters: {q: …}")


def test_a_gate_of_ones_own_without_parameters_takes_none(shop: Shop) -> None:
    own_gates(shop, GATES.replace(", parameters=Quantile", ""), "{q: 0.5}")
    (line,) = [line for line in mistakes_in(shop) if "defs/orders/" in line]
    assert "gates.1.parameters: gate 'shop.gates:quantile' has no parameters; remove them" in line


def test_a_gate_of_ones_own_says_that_it_asks_when(shop: Shop) -> None:
    own_gates(shop, GATES, "{q: 0.5}")
    shop.edit(DATASET, "    - gate: schema\n", "    - gate: schema\n    - {gate: 'shop.gates:late', max: 1}\n")
    assert not mistakes_in(shop)
    text = (shop.defs / DATASET / "defs.yaml").read_text()
    before = text[text.index("  partitions:") :].partition("\n  key:")[0]
    shop.edit(DATASET, before, "  partitions: none")
    assert any(
        "gate 'late' asks when, and a dataset with `partitions: none` has no when" in one for one in mistakes_in(shop)
    )


@pytest.mark.parametrize("code", ["import no_such_library\n", "1 / 0\n", "def (\n"])
def test_a_module_of_gates_that_cannot_be_imported_is_told_once(shop: Shop, code: str) -> None:
    own_gates(shop, code + GATES, "{q: 0.5}", "{q: 0.6}", "{q: 0.7}")
    told = [line for line in mistakes_in(shop) if "shop.gates" in line]
    assert len(told) == 1 and ": gate: cannot import shop.gates: " in told[0]
    # Where it stands in the module.
    assert told[0].startswith("src/shop/gates.py:1: ")


def test_a_module_of_gates_that_is_not_there_is_told_at_every_line(shop: Shop) -> None:
    own_gates(shop, GATES, "{q: 0.5}", "{q: 0.6}")
    shop.edit(DATASET, "shop.gates:", "shop.gtes:")
    assert len([line for line in mistakes_in(shop) if "cannot import shop.gtes" in line]) == 2


def test_kinds_are_listed_with_their_keys(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own_gates(shop, GATES, "{q: 0.5}")
    with calling(shop, {}, monkeypatch, capfd) as call:
        told = {line.split()[1]: line for line in call("gates").out.splitlines() if line.startswith("│")}
        assert set(told) == {*KINDS, "shop.gates:quantile"}
        assert "columns, max, parameters.q: float" in told["shop.gates:quantile"]
        assert "q: share of the rows below it" in told["shop.gates:quantile"]
        assert "shop.gates:late" in call("gates", "shop.gates:late").out
        ended = call("gates", "volum")
        assert ended.code == 1 and ended.err.startswith("ml-platform: unknown gate 'volum'; known: ")
        assert ended.err.endswith(", or module:function; did you mean 'volume'?\n")
        shop.edit(DATASET, "{q: 0.5}", "{q: 5}")
        ended = call("gates")
        assert ended.code == 0 and "kinds of one's own are left out: ml-platform validate says why" in ended.err


TRAINER = """
from ml_platform.training.xgboost import XGBoostTrainer


class Own(XGBoostTrainer):
    def {method}:
        {body}
"""


@pytest.mark.parametrize(
    ("method", "body", "reason"),
    [
        ("limited(self, parameters, rounds)", "return parameters",
         "limited to 1 gave parameters of {0} rounds, from {0}; expected 1"),
        ("limited(self, parameters, rounds)", "return parameters.trees",
         "limited to 1 raises AttributeError: 'XGBoostParameters' object has no attribute 'trees' "
         "(in Own.limited, shop/trainers.py:7)"),
        ("rounds(self, parameters)", "return str(parameters.rounds)",
         "rounds gave str '{0}'; expected None, or a whole number of 1 or more"),
    ],
)  # fmt: skip
def test_a_trainer_whose_rounds_cannot_be_limited(shop: Shop, method: str, body: str, reason: str) -> None:
    (shop.defs.parent / "trainers.py").write_text(TRAINER.format(method=method, body=body))
    text = (shop.defs / MODEL / "defs.yaml").read_text()
    (rounds,) = re.findall(r"rounds: (\d+)", text)
    shop.edit(MODEL, "task: binary\n", "task: binary\n  trainer: shop.trainers:Own\n")
    (line,) = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    assert line.endswith(f": attributes.trainer: shop.trainers:Own: {reason.format(rounds)}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("version = '1'", "shop.trainers:Own.version is str '1'; expected a whole number"),
        ("libraries = ('sklearn',)",
         "shop.trainers:Own: library 'sklearn' is not installed as a distribution; is it scikit-learn?"),
        ("libraries = ('no_such_library',)", "'no_such_library' is not installed as a distribution; install it"),
        ("libraries = 'xgboost'",
         "shop.trainers:Own.libraries is str 'xgboost'; expected a tuple of texts, such as ('xgboost',)"),
        ("Parameters = Loose", 'shop.trainers:Own.Parameters takes keys that it does not know; add extra="forbid" to'),
    ],
)  # fmt: skip
def test_what_a_trainer_says_of_itself_is_looked_at(shop: Shop, line: str, reason: str) -> None:
    loose = "class Loose(XGBoostTrainer.Parameters, extra='ignore'):\n    pass\n\n\nclass Own("
    code = TRAINER.partition("    def")[0].replace("class Own(", loose) + f"    {line}\n"
    (shop.defs.parent / "trainers.py").write_text(code)
    shop.edit(MODEL, "task: binary\n", "task: binary\n  trainer: shop.trainers:Own\n")
    (told,) = [told for told in mistakes_in(shop) if f"defs/{MODEL}/" in told]
    assert ": attributes.trainer: " in told and reason in told


def test_a_class_in_the_place_of_an_instance_is_told(shop: Shop) -> None:
    code = """class Tills:
    def partitions(self): return {}

    def read(self, partition): ...
"""
    (shop.defs.parent / "tills.py").write_text(code)
    shop.edit(DATASET, "source: shop.defs.orders.source:source", "source: shop.tills:Tills")
    (line,) = mistakes_in(shop)
    assert "source: shop.tills:Tills is a class; make an instance in the module (tills = Tills()) and name it: " in line
    fixed = code.replace("def ", "@classmethod\n    def ").replace("(self", "(cls")
    (shop.defs.parent / "others.py").write_text(fixed)
    shop.edit(DATASET, "shop.tills:Tills", "shop.others:Tills")
    assert not mistakes_in(shop), "one that needs no instance is a source"


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (
            "{'2024-01': 'a'}",
            "another key than the dataset has: partition '2024-01' is not an ISO date; take one of the ",
        ),
        (
            "{'20240101': 'a'}",
            "another key than the dataset has: partition '20240101' is not an ISO date; take one of ",
        ),
        ("{'2024-01-01': 1}", "a dict of other things than texts; return a dict of partition to fingerprint"),
        ("{'2024-01-01': ''}", "no fingerprint of 2024-01-01, an empty text; return one that changes when the content"),
        ("None", "NoneType; return a dict"),
        ("1 / 0", ""),
    ],
)
def test_what_a_source_of_ones_own_offers_is_looked_at(shop: Shop, offered: str, reason: str) -> None:
    code = f"""class Tills:
    def partitions(self): return {offered}

    def read(self, partition): ...


tills = Tills()
"""
    (shop.defs.parent / "tills.py").write_text(code)
    shop.edit(DATASET, "source: shop.defs.orders.source:source", "source: shop.tills:tills")
    told = mistakes_in(shop)
    assert len(told) == bool(reason), "what cannot be asked here is told by a run"
    assert all(f"source: shop.tills:tills: partitions() returned {reason}" in line for line in told)


def test_a_feature_function_that_is_a_class_is_told(shop: Shop) -> None:
    shop.edit(DATASET, "features:features", "features:Features")
    (line, *_) = mistakes_in(shop)
    assert "is a class; make an instance" in line


@pytest.mark.parametrize(
    ("adapters", "reason"),
    [
        ("shop.nowhere:adapters", "cannot import shop.nowhere"),
        ("shop.mine", "is not of the form module:object"),
        ("shop.mine:wrong", "names ledger; the ports are alerts, references, rollouts, store"),
        ("shop.mine:classes", "shop.mine:classes, rollouts: gave the class "),
        ("shop.mine:lacking", "builtins:str lacks "),
    ],
)
def test_adapters_of_ones_own_are_opened(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], adapters: str, reason: str
) -> None:
    """By `validate`; whatever else needs them names the setting once."""
    code = """from ml_platform.rollout.record_files import RecordFiles

def wrong(): return {"ledger": RecordFiles}

def classes(): return {"rollouts": lambda settings: RecordFiles}

def lacking(): return {"store": lambda settings: "store"}
"""
    (shop.defs.parent / "mine.py").write_text(code)
    with calling(shop, {}, monkeypatch, capfd) as call:
        done = call("validate", ML_PLATFORM_ADAPTERS=adapters)
        assert done.code == 1 and reason in done.out and done.out.count("ML_PLATFORM_ADAPTERS: ") == 1, done
        if reason[:5] not in ("shop.", "built"):
            done = call("status", ML_PLATFORM_ADAPTERS=adapters)
            assert done.code == 1 and (done.out + done.err).count("ML_PLATFORM_ADAPTERS: ") == 1, done


@pytest.mark.parametrize("own", [True, False])
def test_code_of_ones_own_outside_git_is_a_warning(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], own: bool
) -> None:
    """Its models could not be compared with those of the next edit."""
    task = "from ml_platform.models.binary import Binary\n\n\nclass Own(Binary):\n    pass\n"
    (shop.defs.parent / "tasks.py").write_text(task)
    shop.edit(MODEL, "task: binary\n", "task: shop.tasks:Own\n" if own else "task: binary\n")
    with calling(shop, {}, monkeypatch, capfd) as call:
        done = call("validate")
    assert done.code == 0 and (f"{MODEL}: models of code of your own are compared with" in done.out) == own, done


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (
            "f1",
            "'f1' has no interval: `losses` of the task binary gives no value by row for it, or `better`",
        ),
        ("aux", "unknown metric 'aux'; binary models have auc, "),
    ],
)
def test_a_metric_that_has_no_interval_is_told_before_a_training(shop: Shop, metric: str, reason: str) -> None:
    gates = (
        f"gates:\n    - {{gate: confidence, metric: {metric}, min: 0.1}}\n    - {{gate: jump, metric: auc, max: 0.4}}\n"
    )
    shop.edit(MODEL, "gates:\n", gates)
    (line,) = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    assert f": attributes.gates.0.metric: {reason}" in line


def test_a_task_whose_compared_metric_has_no_values_by_row(shop: Shop) -> None:
    code = """from ml_platform.models.binary import Binary

class Own(Binary):
    def losses(self, y, p):
        return {}
"""
    (shop.defs.parent / "tasks.py").write_text(code)
    shop.edit(MODEL, "task: binary\n", "task: shop.tasks:Own\n")
    (line,) = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    assert "attributes.task: shop.tasks:Own: losses gave nothing for brier, which `compared` names" in line


def test_a_task_of_ones_own_is_tried_on_labels(shop: Shop) -> None:
    imports, method = "from ml_platform.models.binary import Binary", "def scores(self, p): return p[1:]"
    (shop.defs.parent / "tasks.py").write_text(f"{imports}\n\nclass Own(Binary):\n    {method}\n")
    shop.edit(MODEL, "task: binary\n", "task: shop.tasks:Own\n")
    (line,) = [line for line in mistakes_in(shop) if f"defs/{MODEL}/" in line]
    assert "attributes.task: shop.tasks:Own: scores gave float32 (" in line and "; expected finite numbers" in line
