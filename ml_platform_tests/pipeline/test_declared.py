"""Whatever decides a judgement and is edited once a champion was approved is seen as a change of its gates.

The keys are found by introspection, so that one that is added is walked over as well; code is edited in place.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.declaration import UNJUDGED
from ml_platform.foundation.errors import Refused
from ml_platform.pipeline import loosening
from ml_platform.pipeline.declared import OF_THE_MODEL
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.pipeline.keys import ALL, changes
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import FEATURES, MODEL, MONTHS, copy_of, declared, gates, train

pytestmark = pytest.mark.slow

GATE = """
from ml_platform.gates.gate import Measurement, kind
from judges.helper import scaled

@kind("spread", "evaluation", "How far the Brier score is from none", needs=("max",))
def spread(evidence, gate):
    return Measurement(scaled(evidence.metrics["brier"]))
"""
EMPTIED = GATE.replace('scaled(evidence.metrics["brier"])', '0.0, "fine"')
HELPER = "def scaled(value):\n    return float(value)\n"
TASK = """
from ml_platform.models.binary import Binary

class Easy(Binary):
    def measure(self, y, p):
        return super().measure(y, p)
"""
LIES = TASK.replace("super().measure(y, p)", '{**super().measure(y, p), "auc": 0.8}')
FUNCTION = '''
import polars as pl
from grocery.defs.purchases.features import PurchaseFeatures

BACK = 0


class Made:
    """Features, and labels beside them."""

    inputs, time, key = PurchaseFeatures.inputs, PurchaseFeatures.time, PurchaseFeatures.key
    columns, histories = PurchaseFeatures.columns, PurchaseFeatures.histories
    labels, slices = PurchaseFeatures.labels, PurchaseFeatures.slices

    def rows(self, raw):
        return PurchaseFeatures().rows(raw)

    def outcomes(self, raw):
        return PurchaseFeatures().outcomes(raw)

    def targets(self, raw):
        return raw.select(self._returned(), pl.col("delivery_days").cast(pl.Float32))

    def _returned(self):
        return (pl.col("returned") > BACK).cast(pl.Int8).alias("returned")


made = Made()
'''
CODE = {"kind.py": GATE, "helper.py": HELPER, "easy.py": TASK, "made.py": FUNCTION, "limits.csv": "1\n"}
#: What is edited, and the key by which it is named, with the asset.
EVALUATED = f"{MODEL}/evaluation"
EDITS = [
    ("kind.py", GATE, EMPTIED, (EVALUATED, "spread", "code")),
    ("helper.py", "float(value)", "0.0", (EVALUATED, "spread", "code")),
    ("limits.csv", "1", "2", (EVALUATED, "spread", "code")),
    ("easy.py", TASK, LIES, (EVALUATED, "task", "task")),
    ("made.py", '(pl.col("returned") > BACK)', '(pl.col("price") > 20)', (FEATURES, "labels", "labels")),
    ("made.py", "BACK = 0", "BACK = -1", (FEATURES, "labels", "labels")),
    ("made.py", "made = Made()", "Made._returned = lambda self: None\nmade = Made()", (FEATURES, "labels", "labels")),
]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package of a user's with a kind of gate, a task and a feature function."""
    folder = tmp_path_factory.mktemp("own") / "judges"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, text in CODE.items():
        (folder / name).write_text(text)
    sys.path.insert(0, str(folder.parent))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(folder.parent))


@pytest.fixture(scope="module")
def shop(with_models: Path, code: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a champion that this code judged, where a person approves."""
    own = [*gates(), {"gate": "judges.kind:spread", "max": 0.9}]
    catalogue = declared(
        features={"function": "judges.made:made"}, models={MODEL: {"task": "judges.easy:Easy", "gates": own}}
    )
    project = copy_of(
        with_models, tmp_path_factory.mktemp("declared") / "project", catalogue, ML_PLATFORM_APPROVAL="person"
    )
    for month in MONTHS[:4]:
        assert project.materialize(FEATURES, partition=month, checks=None).success
    train(project)
    with project.active() as workspace:
        newest = workspace.registry.latest(MODEL)
        assert newest is not None
        workspace.registry.set_alias(MODEL, "champion", newest.version)
        assert loosening.since_champion(workspace, project.context()) == []
    return project


def seen(workspace: Workspace, context: ModelContext) -> list[tuple[str, str, str]]:
    """Asset, gate and key of everything that may let more pass."""
    found = [one.change for one in loosening.since_champion(workspace, context) if one.change.looser]
    return [(change.asset, change.gate, change.key) for change in found]


@contextmanager
def edited(file: Path, old: str, new: str) -> Iterator[None]:
    """Within the block a file has another text; the old one has to be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


@pytest.mark.parametrize(("file", "old", "new", "wanted"), EDITS, ids=[f"{one[0]}-{one[2][:12]!r}" for one in EDITS])
def test_code_that_judges_is_compared(
    shop: Project, code: Path, file: str, old: str, new: str, wanted: tuple[str, str, str]
) -> None:
    with edited(code / file, old, new), shop.active() as workspace:
        # A file may be read by everything in its folder.
        beside = [(EVALUATED, "task", "task")] if file == "limits.csv" else []
        assert seen(workspace, shop.context()) == [wanted, *beside]
        with pytest.raises(Refused, match=f"{wanted[1]} of {wanted[0]} changed: {wanted[2]} "):
            loosening.require_accepted(workspace, shop.context())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("made.py", "return PurchaseFeatures().rows(raw)", "return PurchaseFeatures().rows(raw.lazy().collect())"),
        ("made.py", '"""Features, and labels beside them."""', '"""Others."""'),
        ("kind.py", "from judges", "# of ours\nfrom judges"),
    ],
)
def test_other_features_and_comments_are_no_looser_gates(
    shop: Project, code: Path, file: str, old: str, new: str
) -> None:
    with edited(code / file, old, new), shop.active() as workspace:
        assert seen(workspace, shop.context()) == []


PARTS = {"DatasetSpec": "dataset", "FeatureSpec": "feature_set", "ModelSpec": "model"}
#: Changes of a key that let less pass.
TIGHTER = ("FeatureSpec.stale", "DatasetSpec.quarantine")


@pytest.mark.parametrize(("owner", "key"), ALL, ids=[f"{owner}.{key}" for owner, key in ALL])
def test_every_key_that_decides_a_judgement_is_compared(shop: Project, owner: str, key: str) -> None:
    top = key.partition(".")[0]
    if top == "gates":
        return  # gate by gate, in gates/test_changes.py
    context = shop.context()
    spec = getattr(context, PARTS[owner])
    found = dict(changes(spec))
    # Of a group that is not declared here there is one change: that it is.
    changed = replace(context, **{PARTS[owner]: found.get(key) or found[top]})
    with shop.active() as workspace:
        told = [one.change for one in loosening.since_champion(workspace, changed)]
    if top in UNJUDGED or f"{owner}.{top}" in OF_THE_MODEL:
        # Another name of a dataset or a feature set is another asset, with other gates; a function brings its labels.
        assert top in ("name", "function", "expressions") or told == []
    else:
        assert told, key
        assert any(one.looser for one in told) or f"{owner}.{top}" in TIGHTER


def test_each_exempt_key_is_there_and_has_its_reason() -> None:
    names = {f"{owner}.{key.partition('.')[0]}" for owner, key in ALL}
    assert set(OF_THE_MODEL) <= names
    assert all(OF_THE_MODEL.values())
