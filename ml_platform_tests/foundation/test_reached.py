"""The version of what makes labels follows whatever may replace it, and nothing beside."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_platform.foundation.reached import reached_version

Version = Callable[[str], str]

CODE = '''
"""Features and labels of a shop."""
import polars as pl
from reachedcode.helper import scaled

LATE = 15
WORDS = ["features", "targets"]
__all__ = ["features", "ShopFeatures"]


class Base:
    """What feature functions share."""

    def _late(self, raw):
        return raw["delay"] > LATE + self.margin


class ShopFeatures(Base):
    """One row per purchase."""

    labels = ("late",)

    def __init__(self):
        self.margin = 0

    def rows(self, raw):
        self._seen = raw.height
        raw.columns = [name.lower() for name in raw.columns]
        return raw.with_columns(scaled(pl.col("price")))

    def targets(self, raw):
        return raw.select(late=self._late(raw))


def _names(features):
    """A parameter of the instance's name is none."""
    return [name for name in features]


class Notes:
    """Beside the features."""

    def __init__(self):
        self.features = []


class OtherFeatures(Base):
    """Of another model."""

    def rows(self, raw):
        return super().rows(raw)


NAMES = _names(WORDS)
notes, others = Notes(), OtherFeatures()
HOUR = pl.col("at").dt.hour()


def _targets(raw):
    return raw.select(late=raw["price"] > 20)


features = ShopFeatures()
'''
PLAIN = """
class Features:
    labels = ("late",)

    def rows(self, raw):
        return raw

    def targets(self, raw):
        return raw.select(self.labels)

features = Features()
"""
#: Made by the release before; whoever has such code is not asked again.
BEFORE = {
    CODE: "c729531fe5dd",  # pragma: allowlist secret
    PLAIN: "897361296303",  # pragma: allowlist secret
    CODE.replace("scaled(pl", "2 * scaled(pl"): "c729531fe5dd",  # pragma: allowlist secret
    CODE.replace("LATE = 15", "LATE = 30"): "022b50de1f22",  # pragma: allowlist secret
    CODE + "features.targets = _targets\n": "2b6fc652f4e7",  # pragma: allowlist secret
    CODE + "ShopFeatures.targets = _targets\n": "6a0d993aa138",  # pragma: allowlist secret
}


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Version]:
    """Write a module of features, and give the version of its labels."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "reachedcode"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "helper.py").write_text("def scaled(value):\n    return value * 2\n")

    def version(code: str) -> str:
        (folder / "features.py").write_text(code)
        importlib.invalidate_caches()
        return reached_version("reachedcode.features:features", "targets", "labels")

    yield version
    for name in [name for name in sys.modules if name.partition(".")[0] == "reachedcode"]:
        del sys.modules[name]


@pytest.mark.parametrize(("code", "before"), BEFORE.items(), ids=range(len(BEFORE)))
def test_what_was_noted_before_is_still_the_version(version: Version, code: str, before: str) -> None:
    assert version(code) == before


WARM = "def _warm(it):\n    it.targets = _targets\n"


@pytest.mark.parametrize(
    "added",
    [
        '_prepared = setattr(features, "targets", _targets)',
        f"{WARM}_warmed = _warm(features)",
        f"{WARM}_warmed: object = _warm(it=features)",
        f"{WARM}def _all():\n    _warm(features)\n_done = _all()",
        f"{WARM}_other = features\n_warmed = _warm(_other)",
        f"{WARM}_warmed = [_warm(one) for one in (features,)]",
        f"{WARM}_warmed = _warm(type(features))",
        f"{WARM}_warmed = _warm(Base)",
        f"{WARM}_warmed = (lambda: _warm(features))()",
        f"{WARM}class _Done:\n    it = _warm(features)",
        f"{WARM}def _done(it=_warm(features)):\n    return it",
        f"{WARM}@_warm(features)\ndef _done():\n    pass",
        f'{WARM}_warmed = _warm(globals()["fea" + "tures"])',
        f"{WARM}import sys\n_warmed = _warm(sys.modules[__name__].features)",
        f"{WARM}import reachedcode.features as me\n_warmed = _warm(me.features)",
        '_done = exec("features.targets = _targets")',
        "_done = (features := _targets)",
        "def _bump():\n    global LATE\n    LATE = 30\n_done = _bump()",
    ],
)
def test_a_statement_that_may_change_the_instance_counts(version: Version, added: str) -> None:
    assert version(f"{CODE}{added}\n") != version(CODE)


@pytest.mark.parametrize(
    "line",
    [
        "self.targets = _targets",
        "self._late = _targets",
        "self.margin = 3",
        "self.margin += 3",
        "me, self.margin = self, 3",
        "type(self).targets = _targets",
        "features.targets = _targets",
        'setattr(self, "targets", _targets)',
        'self.__dict__["targets"] = _targets',
        "vars(self).update(targets=_targets)",
        "_set(self)",
        'self.labels["late"] = 3',
        "global LATE; LATE = 3",
        "del self.targets; self.margin = 3",
    ],
)
def test_a_member_that_sets_what_makes_labels_counts(version: Version, line: str) -> None:
    code = CODE.replace("self._seen = raw.height", line) + "def _set(it):\n    it.targets = _targets\n"
    plain = version(CODE)
    assert version(code) != plain
    # What it sets counts as well.
    assert version(code.replace('raw["price"] > 20', 'raw["price"] > 30').replace("3", "4")) != version(code)


@pytest.mark.parametrize("way", ["from reachedcode import helper", "from . import helper", "import reachedcode.helper"])
def test_a_module_that_makes_labels_counts_however_it_is_imported(version: Version, tmp_path: Path, way: str) -> None:
    used = "reachedcode.helper" if way.startswith("import") else "helper"
    code = CODE.replace("from reachedcode.helper import scaled", way)
    code = code.replace('raw["delay"] > LATE', f'{used}.scaled(raw["delay"]) > LATE')
    before = version(code)
    (tmp_path / "reachedcode" / "helper.py").write_text("def scaled(value):\n    return value * 7\n")
    assert version(code) != before


@pytest.mark.parametrize(
    "way",
    [
        'getattr(self, "_" + self.labels[0])(raw)',
        "[getattr(self, name)(raw) for name in dir(self) if name == '_la' + 'te'][0]",
        "globals()['_' + 'targets'](raw)",
        "[kind for kind in Base.__subclasses__()][0].margin",
        "'{0.margin}'.format(self)",
        "operator.attrgetter('_' + 'late')(self)(raw)",
    ],
)
def test_what_is_reached_by_a_name_that_is_computed_counts_with_the_whole_module(version: Version, way: str) -> None:
    code = CODE.replace("raw.select(late=self._late(raw))", way)
    before = version(code)
    # Nothing in the method names these.
    assert version(code.replace('raw["price"] > 20', 'raw["price"] > 30')) != before
    assert version(code.replace("> LATE + self.margin", "< LATE + self.margin")) != before


def test_an_attribute_by_its_literal_name_is_followed_as_any(version: Version) -> None:
    code = CODE.replace("raw.select(late=self._late(raw))", 'raw.select(late=getattr(self, "_late")(raw))')
    assert version(code.replace("> LATE + self.margin", "< LATE + self.margin")) != version(code)
    assert version(code.replace('raw["price"] > 20', 'raw["price"] > 30')) == version(code)


def test_where_an_import_and_a_definition_share_a_name_that_is_reached_their_order_counts(version: Version) -> None:
    code = CODE.replace("raw.select(late=self._late(raw))", "late(raw)")
    taken, made = "from reachedcode.helper import scaled as late\n", "def late(raw):\n    return raw\n"
    one = version(code.replace("NAMES =", f"{taken}{made}NAMES ="))
    assert version(code.replace("NAMES =", f"{made}{taken}NAMES =")) != one


def test_features_may_change_and_labels_stay(version: Version) -> None:
    plain = version(CODE)
    for old, new in (
        ("raw.height", "raw.width"),
        ("[name for name in features]", "list(features)"),
        ("self.features = []", "self.features = {}"),
        ('["features", "targets"]', '["features"]'),
        ('raw["price"] > 20', 'raw["price"] > 30'),
    ):
        assert old in CODE
        assert version(CODE.replace(old, new)) == plain
    assert version(f"{CODE}both = (features, features)\n") != plain, "what names the instance counts, whatever it does"
