"""Versions of a user's code follow what it does, through every module of the project, and nothing else."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_platform.foundation import user_code
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.user_code import UnknownModule, user_code_version

Write = Callable[..., str]

FEATURES = '''
"""Features of a shop."""
import math
from shopcode.helpers import scaled


def rows(raw):
    """Say what."""
    return scaled(raw) + math.pi
'''
HELPERS = "import shopcode.deep as deep\n\ndef scaled(raw):\n    return raw * deep.FACTOR\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules of a project on the import path, and give the version of the first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    held = dict.fromkeys(("shopcode/__init__.py", "shopcode/other/__init__.py"), "")
    held |= {"shopcode/features.py": FEATURES, "shopcode/helpers.py": HELPERS, "shopcode/deep.py": "FACTOR = 2\n"}

    def version(start: str = "shopcode.features:rows", **changed: str) -> str:
        written = {name.replace("__", "/") + ".py": text for name, text in changed.items()}
        files = {**held, **{name.replace("/package.py", "/__init__.py"): text for name, text in written.items()}}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        importlib.invalidate_caches()
        return user_code_version(start)

    yield version
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shopcode", "beside")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "features",
    [
        FEATURES.replace("scaled(raw) +", "scaled(\n        raw\n    )  # a comment\n    +").replace(
            "return ", "return ("
        )
        + "    )\n",
        FEATURES.replace("Say what.", "Say something else."),
        FEATURES.replace("import math\n", "import os\nimport math\n"),
        FEATURES.replace(
            "import math\nfrom shopcode.helpers import scaled\n", "from .helpers import scaled\nimport math\n"
        ),
        FEATURES.replace("import math\n", "").replace(
            '    """Say what."""\n', '    """Say what."""\n    import math\n'
        ),
    ],
    ids=["layout and comments", "a docstring", "an unused import", "order and form of imports", "place of an import"],
)
def test_what_changes_no_result_changes_no_version(write: Write, features: str) -> None:
    before = write()
    assert write(shopcode__features=features) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"shopcode__features": FEATURES.replace("math.pi", "math.e")},
        {"shopcode__features": FEATURES.replace("import math", "import cmath as math")},
        {"shopcode__helpers": HELPERS.replace("*", "+")},
        {"shopcode__deep": "FACTOR = 3\n"},
        {"shopcode__deep": "FACTOR = 2.0\n"},
        {"shopcode__deep": "from shopcode.other.deepest import FACTOR\n", "shopcode__other__deepest": "FACTOR = 2\n"},
        {
            "shopcode__helpers": HELPERS.replace("import shopcode.deep as deep", "import beside as deep"),
            "beside": "FACTOR = 2\nOTHER = 1\n",
        },
    ],
    ids=["own code", "library", "helper", "helper's helper", "type", "constant elsewhere", "module beside"],
)
def test_what_changes_a_result_changes_the_version(write: Write, changed: dict[str, str]) -> None:
    before = write()
    assert write(**changed) != before


PATCH = "import shopcode.deep\nshopcode.deep.FACTOR = 3\n"


def test_what_a_package_around_a_module_does_counts(write: Write) -> None:
    """Its ``__init__.py`` runs first, and can change whatever the module stands on."""
    before = write()
    patched = write(shopcode__package=PATCH)
    assert patched != before
    assert write(shopcode__package=PATCH.replace("3", "4")) not in (before, patched)
    inner = {"shopcode__helpers": HELPERS.replace("shopcode.deep", "shopcode.other.deep")}
    inner |= {"shopcode__other__deep": "FACTOR = 2\n"}
    # Where it does nothing, it says nothing.
    assert write(shopcode__package='"""A shop."""\n', **inner) == before
    assert write(shopcode__package="", shopcode__other__package=PATCH, **inner) not in (before, patched)


def test_of_two_imports_of_one_name_the_order_counts(write: Write) -> None:
    def shadowed(*imports: str) -> str:
        return write(shopcode__deep="\n".join([*imports, "FACTOR = least(1, 2)\n"]))

    first, second = "from operator import gt as least", "from operator import le as least"
    assert shadowed(first, second) != shadowed(second, first)
    branches = "import os\nif os.name == 'nt':\n    {}\nelse:\n    {}\n"
    assert shadowed(branches.format(first, second)) != shadowed(branches.format(second, first))
    # One meaning, said twice or at another place, is the same.
    assert shadowed(first) == shadowed(first, first) == shadowed("import os.path, os", first)


DEFINED = "def scale(n):\n    return n\n"
TAKEN = "from shopcode.deep import scale\n"
REBOUND = "def other():\n    global scale\n    scale = 3\nother()\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from shopcode.deep import FACTOR\nFACTOR = 7\n", "FACTOR = 7\nfrom shopcode.deep import FACTOR\n"),
        (f"{TAKEN}{DEFINED}", f"{DEFINED}{TAKEN}"),
        (f"{DEFINED}if len('') > 0:\n    {TAKEN}", f"{DEFINED}if len('') > 0:\n    pass\n{TAKEN}"),
        (
            f"def scale(n):\n    {TAKEN}    scale = n\n    return scale\n",
            f"def scale(n):\n    scale = n\n    {TAKEN}    return scale\n",
        ),
        (f"{TAKEN}{REBOUND}", f"{REBOUND}{TAKEN}"),
        (
            "from math import e as x\nif len('') > 0:\n    from math import pi as x\n",
            "from math import e as x\nif len('') > 0:\n    pass\nfrom math import pi as x\n",
        ),
    ],
    ids=["value", "function", "branch", "inside a function", "global", "two imports"],
)
def test_of_an_import_and_another_meaning_of_its_name_the_place_counts(write: Write, one: str, other: str) -> None:
    deep = {"shopcode__deep": "FACTOR = 2\n\ndef scale(n):\n    return n * 3\n"}
    before = write(**deep, shopcode__helpers=f"{one}scaled = 0\n")
    assert write(**deep, shopcode__helpers=f"{other}scaled = 0\n") != before


def test_where_a_name_has_one_meaning_besides_its_module_may_move(write: Write) -> None:
    text = "def scale(n):\n    return n * 3\n"
    code = "from shopcode.{} import scale\nif len('') > 0:\n    scale = None\nscaled = scale\n"
    before = write(shopcode__deep=text, shopcode__helpers=code.format("deep"))
    assert write(shopcode__other__deep=text, shopcode__helpers=code.format("other.deep")) == before


@pytest.mark.parametrize(
    "call", ['import_module("shopcode.apart")', '__import__("shopcode.apart")', 'import_module(".apart", "shopcode")']
)
def test_a_module_that_is_imported_by_a_call_with_its_name_counts(write: Write, call: str) -> None:
    helpers = f"from importlib import import_module\nscaled = {call}\n"
    before = write(shopcode__helpers=helpers, shopcode__apart="FACTOR = 2\n")
    assert write(shopcode__helpers=helpers, shopcode__apart="FACTOR = 3\n") != before


@pytest.fixture
def forgotten() -> Iterator[Callable[[], None]]:
    """Forget which modules are a user's: a process has one import path."""

    def forget() -> None:
        for cached in (user_code.installed, user_code.is_project, user_code._folder):
            cached.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "apartcode"]:
            del sys.modules[name]

    yield forget
    forget()


@pytest.mark.parametrize(
    ("folder", "counts"), [("plain", True), ("lib/python3/site-packages", False), ("target", False)]
)
def test_own_code_counts_wherever_on_the_import_path_it_is(
    write: Write,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: Callable[[], None],
    folder: str,
    counts: bool,
) -> None:
    """Such as a library that is installed to be edited, or a folder beside `src`; what is installed is a library."""
    root = tmp_path_factory.mktemp("apart") / folder
    (root / "apartcode").mkdir(parents=True)
    if folder == "target":
        (root / "apartcode-1.0.dist-info").mkdir()
    (root / "apartcode" / "__init__.py").write_text("from apartcode.deep import factor\n")
    deep = root / "apartcode" / "deep.py"
    deep.write_text("factor = 2\n")
    monkeypatch.syspath_prepend(str(root))
    forgotten()
    helpers = {"shopcode__helpers": "import apartcode\nscaled = apartcode.factor\n"}
    before = write(**helpers)
    deep.write_text("factor = 3.5\n")
    assert (write(**helpers) != before) == counts


def test_a_virtual_environment_may_stand_around_the_code(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: Callable[[], None]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    forgotten()
    beside = {"shopcode__helpers": "import beside\nscaled = beside.FACTOR\n"}
    assert write(**beside, beside="FACTOR = 2\n") != write(**beside, beside="FACTOR = 3.5\n")


def test_a_module_that_only_moves_changes_no_version(write: Write) -> None:
    before = write()
    moved = HELPERS.replace("shopcode.deep", "shopcode.other.deep")
    assert write(shopcode__helpers=moved, shopcode__other__deep="FACTOR = 2\n") == before


STRONG = {"shopcode__strong": "def strength(n):\n    return n * 9\n"}
NONE = {"shopcode__none": "def strength(n):\n    return n * 0\n"}
BOTH = "def rows(raw):\n    return strength(raw), unpulled(raw)\n"
TWO = "from shopcode.{} import strength\nfrom shopcode.{} import strength as unpulled\n"


@pytest.mark.parametrize(
    "exchanged",
    [
        lambda write, one, other: write(**STRONG, **NONE, shopcode__features=TWO.format(one, other) + BOTH),
        lambda write, one, other: write(
            **STRONG,
            **NONE,
            shopcode__ours__package=TWO.format(one, other),
            shopcode__features=f"from shopcode.ours import strength, unpulled\n{BOTH}",
        ),
        lambda write, one, other: write(
            **STRONG,
            **NONE,
            shopcode__features=f"import shopcode.{one} as s\nimport shopcode.{other} as t\n{BOTH}",
        ),
        # Others use both, so that all modules are there in either case.
        lambda write, one, other: write(
            **STRONG,
            **NONE,
            shopcode__helpers=f"{TWO.format('strong', 'none')}\nscaled = strength\n",
            shopcode__features=f"from shopcode.{one} import strength\nfrom shopcode.helpers import scaled\n{BOTH}",
        ),
        # The contents of the two, under the same names.
        lambda write, one, other: write(
            shopcode__strong=(STRONG if one == "strong" else NONE)[f"shopcode__{one}"],
            shopcode__none=(STRONG if other == "strong" else NONE)[f"shopcode__{other}"],
            shopcode__features="import shopcode.strong\nimport shopcode.none\n\n\n"
            "def rows(raw):\n    return shopcode.strong.strength(raw), shopcode.none.strength(raw)\n",
        ),
        # Through one module more on each way, equal but for where it leads.
        lambda write, one, other: write(
            **STRONG,
            **NONE,
            shopcode__way=f"from shopcode.{one} import strength\n",
            shopcode__path=f"from shopcode.{other} import strength\n",
            shopcode__features=TWO.format("way", "path") + BOTH,
        ),
    ],
    ids=["names", "package", "modules", "one of them", "contents", "further on"],
)
def test_which_of_two_helpers_is_used_counts(write: Write, exchanged: Callable[[Write, str, str], str]) -> None:
    before = exchanged(write, "strong", "none")
    assert exchanged(write, "none", "strong") != before
    assert exchanged(write, "strong", "none") == before


def test_helpers_that_cannot_be_exchanged_keep_the_version_of_before(write: Write) -> None:
    """Of each import there is one way only, so that what was trained stays what it is."""
    assert write() == "5051af96c808"  # pragma: allowlist secret
    two = "from shopcode.strong import strong\nfrom shopcode.none import none\n\nrows = strong, none\n"
    texts = {name: text.replace("strength", name.rpartition("__")[2]) for name, text in (STRONG | NONE).items()}
    assert write(**texts, shopcode__features=two) == "6efbb037a181"  # pragma: allowlist secret


def test_a_helper_that_only_moves_beside_others_changes_no_version(write: Write) -> None:
    before = write(**STRONG, **NONE, shopcode__features=TWO.format("strong", "none") + BOTH)
    moved = {"shopcode__other__mighty": STRONG["shopcode__strong"], **NONE}
    assert write(**moved, shopcode__features=TWO.format("other.mighty", "none") + BOTH) == before


def test_modules_may_import_each_other(write: Write) -> None:
    circle = write(shopcode__deep="import shopcode.features\nFACTOR = 2\n")
    assert circle == write(shopcode__deep="import shopcode.features\nFACTOR = 2\n")
    assert circle != write(shopcode__deep="import shopcode.features\nFACTOR = 3\n")


def test_the_platform_counts_by_its_number_and_not_by_its_text(write: Write) -> None:
    def using(what: str) -> str:
        return f"from ml_platform.{what}\nFACTOR = PlatformError\n"

    before = write(shopcode__deep=using("foundation.errors import PlatformError"))
    assert write(shopcode__deep=using("errors import PlatformError")) == before
    assert write(shopcode__deep=using("foundation.errors import Refused as PlatformError")) != before


def test_a_module_that_is_not_there_or_no_python_is_named(write: Write) -> None:
    with pytest.raises(UnknownModule, match=r"there is no module shopcode.nowhere"):
        write("shopcode.nowhere:rows")
    with pytest.raises(PlatformError, match=r"deep.py: not Python"):
        write(shopcode__deep="FACTOR = = 2\n")
