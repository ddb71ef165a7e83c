"""No kind of gate without proof. A module of this folder proves what its table ``PROOFS`` names."""

import importlib
import pkgutil
from collections import Counter

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.gates.every_kind import KINDS
from ml_platform.gates.stages import Stage
from ml_platform_tests import sabotage
from ml_platform_tests.project import declared

MODULES = [
    importlib.import_module(f"{sabotage.__name__}.{module.name}")
    for module in pkgutil.iter_modules(sabotage.__path__)
    if module.name.startswith("test_") and module.name != __name__.rpartition(".")[2]
]
TABLES = [module.PROOFS for module in MODULES]
#: Declarations of every project, and those that a module has for gates of its own.
CATALOGUES = [
    declared(),
    *(value for module in MODULES for value in vars(module).values() if isinstance(value, Catalogue)),
]


def test_every_kind_has_a_break_and_a_clean_twin() -> None:
    proven = Counter(kind for table in TABLES for kind in table)
    assert set(KINDS) - set(proven) == set(), "a kind of gate has no sabotage test"
    assert set(proven) - set(KINDS) == set(), "a sabotage test is for no kind of gate"
    assert proven.total() == len(proven), "a kind of gate is proven twice"
    for kind, proof in (item for table in TABLES for item in table.items()):
        assert proof.broken is not None and proof.clean is not None, kind
        assert proof.broken != proof.clean, kind


def test_the_projects_of_the_proofs_declare_every_kind_and_block_on_it() -> None:
    stages: set[Stage] = {kind.stage for kind in KINDS.values()}
    declarations = [declaration for catalogue in CATALOGUES for declaration in catalogue.all]
    gates = [gate for declaration in declarations for stage in stages for gate in declaration.gates_of(stage)]
    assert {gate.gate for gate in gates if gate.blocking} == set(KINDS)
